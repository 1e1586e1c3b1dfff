/** Every page and its address; each is loaded when somebody goes there. */
import { useState, type ReactElement } from 'react';
import { createBrowserRouter, RouterProvider, type RouteObject } from 'react-router';

import { RouteFailure } from './shell/route-failure.tsx';
import { Shell } from './shell/shell.tsx';

const pages: RouteObject[] = [
  {
    index: true,
    lazy: async () => ({
      Component: (await import('./pages/overview/overview-page.tsx')).OverviewPage,
    }),
  },
  {
    path: 'accelerators',
    lazy: async () => ({
      Component: (await import('./pages/accelerators/accelerators-page.tsx')).AcceleratorsPage,
    }),
  },
  {
    path: 'accelerators/:id',
    lazy: async () => ({
      Component: (await import('./pages/accelerators/accelerator-page.tsx')).AcceleratorPage,
    }),
  },
  {
    path: '*',
    lazy: async () => ({ Component: (await import('./shell/no-such-page.tsx')).NoSuchPage }),
  },
];

function makeRouter(): ReturnType<typeof createBrowserRouter> {
  return createBrowserRouter(
    [
      {
        element: <Shell />,
        errorElement: <RouteFailure />,
        hydrateFallbackElement: <></>,
        children: [{ errorElement: <RouteFailure />, children: pages }],
      },
    ],
    { basename: '/console' },
  );
}

export function Pages(): ReactElement {
  const [router] = useState(makeRouter);
  return <RouterProvider router={router} />;
}
