import { serve } from '@cyborg/driver-sdk/serve';
import { fakeDriver } from './driver.ts';

if (import.meta.main) await serve(fakeDriver);
