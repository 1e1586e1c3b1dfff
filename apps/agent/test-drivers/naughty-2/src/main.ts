import { serve } from '@cyborg/driver-sdk/serve';
import { openNaughtyDriver } from './naughty.ts';

await serve(openNaughtyDriver('2.0.0'));
