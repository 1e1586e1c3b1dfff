import { serve } from '@cyborg/driver-sdk/serve';
import { spdkDriver } from './driver.ts';

if (import.meta.main) await serve(spdkDriver);
