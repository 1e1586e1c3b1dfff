import { serve } from '@cyborg/driver-sdk/serve';
import { openNaughtyDriver } from './naughty.ts';

await serve(openNaughtyDriver('1.0.0'));
