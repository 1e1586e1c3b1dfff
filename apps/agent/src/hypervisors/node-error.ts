export { hasCode, messageOf } from '@cyborg/service/node-error';
