/** What is around every page. */
import { Page, Spinner, Bullseye } from '@patternfly/react-core';
import { useEffect, useRef, type ReactElement } from 'react';
import { Outlet, useLocation, useNavigation } from 'react-router';

import { ToastProvider } from '../components/toasts.tsx';
import { TopBar } from './top-bar.tsx';
import { SideBar } from './side-bar.tsx';

const mainId = 'console-main';

export function Shell(): ReactElement {
  useFocusOnArrival();
  return (
    <ToastProvider>
      <a className="console-skip" href={`#${mainId}`}>
        Skip to content
      </a>
      <Page
        masthead={<TopBar />}
        sidebar={<SideBar />}
        mainContainerId={mainId}
        mainAriaLabel="Page"
        isManagedSidebar
        isContentFilled
      >
        <Outlet />
        <Arriving />
      </Page>
    </ToastProvider>
  );
}

function Arriving(): ReactElement | null {
  const { state } = useNavigation();
  if (state === 'idle') return null;
  return (
    <Bullseye>
      <Spinner aria-label="Loading the page" size="lg" />
    </Bullseye>
  );
}

/** A new page begins at its heading, also for those who do not see it. */
function useFocusOnArrival(): void {
  const { pathname } = useLocation();
  const before = useRef(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    document.querySelector<HTMLElement>(`#${mainId}`)?.focus();
  }, [pathname]);
}
