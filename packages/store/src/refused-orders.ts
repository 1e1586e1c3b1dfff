/** How the reason of what its host refuses to do begins: it is as it was, and goes on when it is ordered anew. */
export const refusedPrefix = 'Its host refuses the order: ';
