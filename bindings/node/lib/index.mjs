// SPDX-License-Identifier: Apache-2.0
// One instance of everything, whichever way it is loaded.
import limitr from './index.cjs';

export const { Limitr, LimitrError, ManualClock, rateLimitHeaders, version } = limitr;
export default Limitr;
