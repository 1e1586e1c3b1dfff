import { seen, type HolderCheck } from './host-use.ts';

const userDrivers = /^(?:.*vfio.*|uio.*|igb_uio|pci-stub|(?:xen-)?pciback)$/u;

/** Drivers that hand a function to a program or a guest: whoever bound it there is going to use it. */
export const findUserDriverUse: HolderCheck = ({ driver, address }, tables) => {
  if (driver === undefined || !userDrivers.test(driver)) return undefined;
  if (tables.isBoundByUs(address)) return undefined;
  return seen(`bound to ${driver}, and not by this agent`);
};
