// SPDX-License-Identifier: Apache-2.0
import limitr from './index.cjs';

export const { Limitr, LimitrError, ManualClock, version } = limitr;
export default Limitr;
