// SPDX-License-Identifier: Apache-2.0
'use strict';
// The engine's calls, by the names that they have here: what each takes and what it gives.

// What an answer of the engine becomes. `found`: nothing is undefined.
const found = (answer) => answer ?? undefined;
const asIs = (answer) => answer;
const done = () => true;
const nothing = () => undefined;
const decided = (answer, given) => (given.detail === true ? answer : answer.allowed);
const measured = (answer) =>
  answer ? { charged: answer.charged, costs: answer.costs, margin: answer.margin,
             rawMargin: answer.raw_margin } : undefined;

/**
 * @typedef {object} Call
 * @property {string} name what the engine calls it
 * @property {string[]} takes the arguments by place; all others are options by name
 * @property {(answer: any, given: object) => any} give what its answer becomes
 * @property {Record<string, any>} defaults where they are not the engine's
 */

/** @returns {Call} */
function call(name, takes, give = found, defaults = {}) {
  return { name, takes: takes ? takes.split(' ') : [], give, defaults };
}

const CALLS = {
  // Calls.
  allow: call('allow', 'id entitlement value event overhead force', decided),
  check: call('check', 'id entitlement value event overhead force', decided),
  decide: call('allow', 'id entitlement value event overhead force', asIs),
  set: call('set', 'id entitlement value event overhead force', decided),
  increment: call('increment', 'id entitlement event overhead force', decided),
  decrement: call('decrement', 'id entitlement event overhead force', decided),
  checkIncrement: call('check_increment', 'id entitlement event overhead force', decided),
  checkDecrement: call('check_decrement', 'id entitlement event overhead force', decided),
  allowMany: call('allow_many', 'calls', asIs),

  // Holds.
  reserve: call('reserve', 'id entitlement', asIs),
  settle: call('settle', 'id entitlement hold value event overhead basis segment', decided),
  release: call('release', 'id entitlement hold'),
  held: call('held', 'id entitlement'),
  estimate: call('estimate', 'id entitlement basis segment quantile'),
  observe: call('observe', 'id entitlement value overhead basis segment'),

  // Customers.
  ensureCustomer: call('ensure_customer', 'id plan type label refs alts metadata'),
  createCustomer: call('create_customer', 'id plan type label refs alts metadata', done),
  customer: call('customer', 'id'),
  customers: call('customers', ''),
  loadCustomers: call('load_customers', 'records'),
  setCustomer: call('set_customer', 'record event', done),
  ensureSetCustomer: call('ensure_set_customer', 'record'),
  removeCustomer: call('delete_customer', 'id'),
  setCustomerPlan: call('set_customer_plan', 'id plan overwriteMeters', found,
                        { overwrite_meters: true }),
  customerMetadata: call('customer_metadata', 'id'),
  customerRefs: call('customer_refs', 'id'),
  setCustomerRefs: call('set_customer_refs', 'id refs'),
  addAltID: call('set_alt_customer_id', 'id alt'),
  removeAltID: call('delete_alt_customer_id', 'alt'),
  createCustomerOverride: call(
    'create_customer_override',
    'id entitlement value expiresOn credit mode increment resets resetInc resetSch'),
  removeCustomerOverride: call('remove_customer_override', 'id entitlement'),

  // Grants and plans.
  applyCustomerTopup: call('apply_customer_topup', 'id topup'),
  ensureCustomerIncludedTopups: call('ensure_included_topups', 'id', done),
  ensureCustomerPlanQuantity: call('ensure_plan_subscription', 'id'),
  remainingCredit: call('credit_remaining', 'id credit'),

  // Caps and margins. addCustomerCap() is made of two calls.
  customerCap: call('customer_cap', 'id cap'),
  resetCustomerCap: call('reset_customer_cap', 'id cap'),
  removeCustomerCap: call('remove_customer_cap', 'id cap'),
  startMarginMeasurement: call('start_margin_measurement', 'customer id overageOnly ignoreGrants'),
  captureMarginMeasurement: call('capture_margin_measurement', 'customer id', measured),
  customerMarginSnapshot: call('customer_margin', 'id'),
  marginSnapshot: call('plan_margin', 'plan usage scaled'),

  // Reads.
  value: call('value', 'id entitlement percent grants'),
  remaining: call('remaining', 'id entitlement percent grants'),
  limit: call('limit', 'id entitlement grants'),
  allowance: call('allowance', 'id entitlement grants'),
  cost: call('cost', 'id entitlement'),
  resets: call('resets', 'id entitlement'),
  rate: call('rate', 'id entitlement'),
  acceleration: call('acceleration', 'id entitlement'),
  projectedExhaustion: call('projected_exhaustion', 'id entitlement smoothed grants'),
  meterObject: call('meter', 'id entitlement'),
  limitObject: call('limit_object', 'id entitlement'),
  entitlement: call('entitlement', 'id entitlement'),
  plan: call('plan', 'id'),
  defaultPlan: call('default_plan', ''),
  planPeriod: call('plan_period', 'id'),
  planTrialPeriod: call('plan_trial_period', 'id'),
  planSubscriptionEntitlement: call('plan_subscription_entitlement', 'id'),
  credit: call('credit', 'name'),
  creditFor: call('credit_for', 'id entitlement'),
  creditExchange: call('credit_exchange', 'from to value'),

  // Policy.
  policy: call('policy', ''),
  setPolicy: call('set_policy', 'policy format', done),
  setPlan: call('set_plan', 'name document', done),
  deletePlan: call('delete_plan', 'name'),
  setNotifications: call('set_notifications', 'notifications', done),

  // State and store.
  warm: call('warm', 'ids', nothing),
  flush: call('flush', '', nothing),
  fsck: call('fsck', ''),
  exportState: call('export_state', ''),
  importState: call('load_customers', 'records'),
};

/** addCustomerCap() adds a cap by this call. */
const ADD_CAP = call('add_customer_cap', 'id value', asIs);

// Arguments whose name is not the engine's in another writing.
const RENAMED = { expiresOn: 'expires', capId: 'cap', cap_id: 'cap', sendEvents: 'events',
                  send_events: 'events' };

module.exports = { ADD_CAP, CALLS, RENAMED };
