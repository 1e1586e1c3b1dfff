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
    path: 'hosts',
    lazy: async () => ({ Component: (await import('./pages/hosts/hosts-page.tsx')).HostsPage }),
  },
  {
    path: 'hosts/:host',
    lazy: async () => ({ Component: (await import('./pages/hosts/host-page.tsx')).HostPage }),
  },
  {
    path: 'backends',
    lazy: async () => ({
      Component: (await import('./pages/backends/backends-page.tsx')).BackendsPage,
    }),
  },
  {
    path: 'backends/:backend',
    lazy: async () => ({
      Component: (await import('./pages/backends/backend-page.tsx')).BackendPage,
    }),
  },
  {
    path: 'services',
    lazy: async () => ({
      Component: (await import('./pages/backends/services-page.tsx')).ServicesPage,
    }),
  },
  {
    path: 'instances',
    lazy: async () => ({
      Component: (await import('./pages/instances/instances-page.tsx')).InstancesPage,
    }),
  },
  {
    path: 'instances/:id',
    lazy: async () => ({
      Component: (await import('./pages/instances/instance-page.tsx')).InstancePage,
    }),
  },
  {
    path: 'profiles',
    lazy: async () => ({
      Component: (await import('./pages/profiles/profiles-page.tsx')).ProfilesPage,
    }),
  },
  {
    path: 'quotas',
    lazy: async () => ({ Component: (await import('./pages/quotas/quotas-page.tsx')).QuotasPage }),
  },
  {
    path: 'grants',
    lazy: async () => ({ Component: (await import('./pages/grants/grants-page.tsx')).GrantsPage }),
  },
  {
    path: 'drivers',
    lazy: async () => ({
      Component: (await import('./pages/drivers/drivers-page.tsx')).DriversPage,
    }),
  },
  {
    path: 'drivers/:driver',
    lazy: async () => ({ Component: (await import('./pages/drivers/driver-page.tsx')).DriverPage }),
  },
  {
    path: 'events',
    lazy: async () => ({ Component: (await import('./pages/events/events-page.tsx')).EventsPage }),
  },
  {
    path: 'operations',
    lazy: async () => ({
      Component: (await import('./pages/operations/operations-page.tsx')).OperationsPage,
    }),
  },
  {
    path: 'operations/:id',
    lazy: async () => ({
      Component: (await import('./pages/operations/operation-page.tsx')).OperationPage,
    }),
  },
  {
    path: 'unclaimed',
    lazy: async () => ({
      Component: (await import('./pages/unclaimed/unclaimed-page.tsx')).UnclaimedPage,
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
