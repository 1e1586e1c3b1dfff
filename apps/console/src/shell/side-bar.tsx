import { Nav, NavGroup, NavItem, PageSidebar, PageSidebarBody } from '@patternfly/react-core';
import { policy, type Action } from '@cyborg/model/policy';
import type { ReactElement } from 'react';
import { NavLink, useLocation } from 'react-router';

import { useWho } from '../session/who.ts';
import { navigation, type Destination } from './navigation.ts';

export function SideBar(): ReactElement {
  const { caller } = useWho();
  const mayRead = (action: Action): boolean =>
    policy[action].some((role) => caller.roles.includes(role));
  return (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label="Pages">
          {navigation.map(({ title, destinations }) => {
            const offered = destinations.filter(({ action }) => mayRead(action));
            if (offered.length === 0) return null;
            return (
              <NavGroup key={title} title={title}>
                {offered.map((destination) => (
                  <Item key={destination.path} destination={destination} />
                ))}
              </NavGroup>
            );
          })}
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  );
}

function Item({ destination: { path, label } }: { destination: Destination }): ReactElement {
  const { pathname } = useLocation();
  const isActive = path === '/' ? pathname === '/' : pathname.startsWith(path);
  return (
    <NavItem isActive={isActive} itemId={path}>
      <NavLink to={path} end={path === '/'}>
        {label}
      </NavLink>
    </NavItem>
  );
}
