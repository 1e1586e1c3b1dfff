/** How the reason of what its host refuses to do begins: it is as it was, and goes on when it is ordered anew. */
export const refusedPrefix = 'Its host refuses the order: ';

/** How the reason of a cleaning begins that its host tries again: nobody holds what is to be cleaned. */
export const retriedPrefix = 'Its host tries again: ';
