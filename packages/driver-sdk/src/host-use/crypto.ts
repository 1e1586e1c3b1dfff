import { seen, unknown, type HolderCheck } from './host-use.ts';

const encryptionClass = 0x10;
const coprocessorClass = 0x0b;

/**
 * Algorithms that the function's driver registered in the kernel and that somebody (dm-crypt, IPsec) uses. A card for
 * cryptography may have them in a module beside its driver's.
 */
export const findCryptoUse: HolderCheck = (fn, tables) => {
  if (fn.driver === undefined) return undefined;
  const base = (fn.class ?? 0) >>> 16;
  if (base === 0x01 || base === 0x02 || base === 0x03) return undefined;
  const isCrypto = base === encryptionClass || base === coprocessorClass;
  const users = tables.cryptoUsers();
  if (users === 'missing') {
    return isCrypto ? unknown('the kernel’s table of crypto algorithms cannot be read') : undefined;
  }
  const own = tables.modulesOf(fn);
  for (const module of isCrypto ? [...own, ...tables.modulesBeside(own)] : own) {
    const algorithm = users.get(module);
    if (algorithm !== undefined) return seen(`kernel crypto uses ${algorithm} of ${module}`);
  }
  return undefined;
};
