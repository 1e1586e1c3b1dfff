import {
  Button,
  Dropdown,
  DropdownGroup,
  DropdownItem,
  DropdownList,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  MenuToggle,
  PageToggleButton,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from '@patternfly/react-core';
import { BarsIcon, MoonIcon, SunIcon } from '@patternfly/react-icons';
import { useState, type ReactElement } from 'react';
import { Link } from 'react-router';

import icon from '../icon.svg';
import { strongest, useWho } from '../session/who.ts';
import { ConnectionBadge } from './connection-badge.tsx';
import { chooseTheme, useTheme } from './theme.ts';

export function TopBar(): ReactElement {
  return (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton variant="plain" aria-label="Show or hide the list of pages">
            <BarsIcon />
          </PageToggleButton>
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component={(props) => <Link {...props} to="/" />}>
            <img src={icon} alt="" width="28" height="28" />
            <strong className="console-brand">Cyborg</strong>
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isFullHeight>
          <ToolbarContent>
            <ToolbarGroup
              align={{ default: 'alignEnd' }}
              alignItems="center"
              variant="action-group-plain"
            >
              <ToolbarItem>
                <ConnectionBadge />
              </ToolbarItem>
              <ToolbarItem>
                <ThemeButton />
              </ToolbarItem>
              <ToolbarItem>
                <UserMenu />
              </ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  );
}

function ThemeButton(): ReactElement {
  const theme = useTheme();
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <Button
      variant="plain"
      aria-label={`Use the ${other} theme`}
      icon={other === 'dark' ? <MoonIcon /> : <SunIcon />}
      onClick={() => chooseTheme(other)}
    />
  );
}

function UserMenu(): ReactElement {
  const { caller, session, signOut } = useWho();
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Dropdown
      isOpen={isOpen}
      onOpenChange={setIsOpen}
      onSelect={() => setIsOpen(false)}
      popperProps={{ position: 'right' }}
      toggle={(ref) => (
        <MenuToggle ref={ref} isExpanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
          {caller.user_name}
        </MenuToggle>
      )}
    >
      <DropdownGroup
        label={`${strongest(caller.roles)} in project ${caller.project_name}, server ${session.version}`}
      >
        <DropdownList>
          <DropdownItem key="docs" to="/v3/docs">
            API reference
          </DropdownItem>
          {session.auth !== 'none' && (
            <DropdownItem key="out" onClick={signOut}>
              Sign out
            </DropdownItem>
          )}
        </DropdownList>
      </DropdownGroup>
    </Dropdown>
  );
}
