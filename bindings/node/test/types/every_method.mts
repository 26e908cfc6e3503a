// SPDX-License-Identifier: Apache-2.0
// Compiles under --strict: every method, as people call it, and what comes back.

import DefaultLimitr, {
  Limitr, LimitrError, ManualClock, version,
  type AuditFinding, type CallOptions, type CapOptions, type CloudOptions, type Decision,
  type Difference, type Estimate, type Handler, type Issue, type JsonObject, type LoadReport, type Margin,
  type MeasuredMargin, type OpenOptions, type Reason,
} from '@formata/limitr';

const same: typeof Limitr = DefaultLimitr;
const text: string = version;

const options: OpenOptions = {
  format: 'json', store: 'sqlite:limitr.db', durability: 'interval', writeInterval: 50,
  maxUnwritten: 10, storeTimeout: 1000, acceptWeaker: true, maxLoaded: 5, loadAll: false,
  shared: false, validate: true, bounds: { max_bytes: 1 }, clock: new ManualClock(5),
  log: (message: string) => console.error(message),
  host: {
    overhead: { cost: (units: number, data: any) => units * data.price },
    rates: { usd: () => 2 },
    notifications: { large: (key: string, value: any) => value.meter.diff > 5 },
  },
};

const connection: Omit<CloudOptions, 'token'> = {
  address: 'https://limitr.example', policy: '3', connectTimeout: 1000, denyUnconnected: false, validate: true,
  room: 0.05, caFile: 'ca.pem', localFile: 'use', bounds: { max_bytes: 1 }, maxUnwritten: 10,
  storeTimeout: 1000, maxLoaded: 5, clock: new ManualClock(5), log: options.log, host: options.host,
  onError: (error: LimitrError) => console.error(error.code),
};

export async function start(): Promise<Limitr> {
  const cloud: Limitr | undefined = await Limitr.cloud({ token: process.env.LIMITR_TOKEN, ...connection });
  if (cloud) return cloud;
  const issues: Issue[] = await Limitr.validate('policy: {}', 'yaml');
  if (issues.length > 0) console.log(issues[0].severity, issues[0].path, issues[0].line);
  await Limitr.new({ policy: {} });
  await Limitr.new('policy: {}', 'yaml', false);
  await Limitr.openStored({ store: 'sqlite:x.db' });
  try {
    return await Limitr.open('policy: {}', options);
  } catch (error) {
    if (error instanceof LimitrError) console.log(error.code, error.where, error.message);
    throw error;
  }
}

export async function calls(limitr: Limitr): Promise<void> {
  const how: CallOptions = { request: 'r', cap: [{ value: 5 }, { rune: 3 }], overhead: 1, detail: false };
  const allowed: boolean = await limitr.allow('ann', 'chat', 1);
  const inUnits: boolean = await limitr.allow('ann', 'chat', '2 MB', { job: 7 }, 0.5, false, how);
  const decision: Decision = await limitr.check('ann', 'chat', 1, { detail: true });
  const reason: Reason | null = (await limitr.decide('ann', 'chat', 5, false)).reason;
  const more: boolean[] = [
    await limitr.check('ann', 'chat'),
    await limitr.set('ann', 'chat', 5),
    await limitr.increment('ann', 'chat', false),
    await limitr.decrement('ann', 'chat', true, 0.1, true),
    await limitr.checkIncrement('ann', 'chat', { request: 'r' }),
    await limitr.checkDecrement('ann', 'chat'),
  ];
  for (const one of await limitr.allowMany([{ id: 'ann', entitlement: 'chat', value: 1, force: true }])) {
    if ('error' in one) console.log(one.error);
    else console.log(one.allowed, one.remaining);
  }
  const hold: string | null = await limitr.reserve('ann', 'chat', { value: 5, ttl: '1min' });
  if (hold !== null) {
    await limitr.settle('ann', 'chat', hold, 4, true, 0.5, 10, 'eu');
    await limitr.release('ann', 'chat', hold);
  }
  const held: number = await limitr.held('ann', 'chat');
  const estimate: Estimate | undefined = await limitr.estimate('ann', 'chat', 10, 'eu', 0.5);
  const learned: boolean = await limitr.observe('ann', 'chat', 4, { context: { a: 1 } });
  console.log(allowed, inUnits, decision, reason, more, held, estimate?.samples, learned);
}

export async function customers(limitr: Limitr): Promise<void> {
  const isNew: boolean = await limitr.ensureCustomer('ann', 'pro');
  await limitr.createCustomer('ann', 'pro', 'user', 'User', ['team'], ['a'], { seats: 2 });
  await limitr.createCustomer('ann', { plan: 'pro', metadata: { seats: 2 } });
  const one: JsonObject | undefined = await limitr.customer('ann');
  const all: Record<string, JsonObject> = await limitr.customers();
  const report: LoadReport = await limitr.loadCustomers(Object.values(all));
  await limitr.loadCustomers(JSON.parse(JSON.stringify(all)));
  await limitr.setCustomer(all['ann'], false);
  await limitr.ensureSetCustomer(all['ann']);
  await limitr.removeCustomer('ann');
  await limitr.setCustomerPlan('ann', 'free', false, { request: 'r' });
  const metadata: JsonObject | undefined = await limitr.customerMetadata('ann');
  const refs: string[] | undefined = await limitr.customerRefs('ann');
  await limitr.setCustomerRefs('ann', ['team']);
  await limitr.addAltID('ann', 'a@b');
  await limitr.removeAltID('a@b');
  await limitr.createCustomerOverride('ann', 'chat', 50, new Date(), 'token', 'soft', 1, true, '1day');
  await limitr.createCustomerOverride('ann', 'chat', { value: 50, resetSch: 'monthly' });
  await limitr.removeCustomerOverride('ann', 'chat');
  await limitr.applyCustomerTopup('ann', 'extra', { request: 'r' });
  await limitr.ensureCustomerIncludedTopups('ann');
  const counted: boolean = await limitr.ensureCustomerPlanQuantity('ann');
  const left: number | undefined = await limitr.remainingCredit('ann', 'token');
  console.log(isNew, one, report.refused.length, metadata, refs, counted, left);
}

export async function money(limitr: Limitr): Promise<void> {
  const how: CapOptions = { cap_id: 'm', credit: 'rune', expires_on: new Date(), send_events: false };
  const cap: JsonObject | null = await limitr.addCustomerCap('ann', 5, how);
  await limitr.customerCap('ann', 'm');
  await limitr.resetCustomerCap('ann', 'm');
  await limitr.removeCustomerCap('ann', 'm');
  await limitr.startMarginMeasurement('ann', 'job', false, false);
  const measured: MeasuredMargin | undefined = await limitr.captureMarginMeasurement('ann', 'job');
  const margin: Margin | undefined = await limitr.customerMarginSnapshot('ann');
  await limitr.marginSnapshot('pro', { chat: 5, mail: { meter: '2 MB', overhead: 1 } }, { scaled: false });
  console.log(cap?.id, measured?.rawMargin, margin?.entitlements['chat'].revenue);
}

export async function reads(limitr: Limitr): Promise<void> {
  const numbers: Array<number | undefined> = [
    await limitr.value('ann', 'chat', true),
    await limitr.remaining('ann', 'chat', { grants: false }),
    await limitr.limit('ann', 'chat', false),
    await limitr.allowance('ann', 'chat'),
    await limitr.cost('ann', 'chat'),
    await limitr.resets('ann', 'chat'),
    await limitr.rate('ann', 'chat'),
    await limitr.acceleration('ann', 'chat'),
    await limitr.projectedExhaustion('ann', 'chat', true),
    await limitr.creditExchange('token', 'rune', 5),
    await limitr.planTrialPeriod('pro'),
  ];
  const records: Array<JsonObject | undefined> = [
    await limitr.meterObject('ann', 'chat'),
    await limitr.limitObject('ann', 'chat'),
    await limitr.entitlement('ann', 'chat'),
    await limitr.plan('pro'),
    await limitr.defaultPlan(),
    await limitr.credit('token'),
    await limitr.creditFor('ann', 'chat'),
  ];
  const names: Array<string | undefined> = [
    await limitr.planPeriod('pro'), await limitr.planSubscriptionEntitlement('pro')];
  console.log(numbers, records, names, text, same);
}

export async function rest(limitr: Limitr): Promise<void> {
  await limitr.setPlan('pro', { entitlements: {} });
  await limitr.deletePlan('pro');
  await limitr.setNotifications({});
  await limitr.setPolicy('policy: {}', 'yaml');
  const differences: Difference[] = await limitr.difference(await limitr.policy());
  const handler: Handler = (key, value) => console.log(key, value.customer);
  await limitr.addHandler('persist', handler);
  await limitr.addHandler('persist', async (key: string) => {
    if (key === 'meter-changed') await limitr.customers();
  });
  const was: boolean = await limitr.removeHandler('persist');
  await limitr.clearHandlers();
  await limitr.warm(['ann']);
  const findings: AuditFinding[] = await limitr.fsck();
  await limitr.importState(await limitr.exportState());
  const [ok, message]: [boolean, string] = await limitr.valid();
  limitr.middleware({ entitlement: 'chat', customer: () => 'ann' });
  await limitr.flush();
  const written: number = await limitr.close();
  console.log(differences, was, findings, ok, message, await limitr.version(), written);
}

export async function refused(limitr: Limitr): Promise<void> {
  // @ts-expect-error an ID is a text
  await limitr.allow(5, 'chat');
  // @ts-expect-error there is no such durability
  await Limitr.open('policy: {}', { durability: 'never' });
  // @ts-expect-error engines are opened
  new Limitr();
}
