import { serve } from '@cyborg/driver-sdk/serve';
import { openGenericDriver } from './driver.ts';

if (import.meta.main) await serve(openGenericDriver());
