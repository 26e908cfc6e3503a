// SPDX-License-Identifier: Apache-2.0
'use strict';
// A provider for OpenFeature: entitlements as feature flags, customers as targeting keys.

const {
  FlagNotFoundError, GeneralError, InvalidContextError, StandardResolutionReasons,
  TargetingKeyMissingError, TypeMismatchError,
} = require('@openfeature/server-sdk');

// What the SDK gives is told by its code, so no other error may have one that looks alike.
async function asked(call) {
  try {
    return await call();
  } catch (error) {
    throw new GeneralError(error?.message ?? String(error), { cause: error });
  }
}

class LimitrProvider {
  metadata = { name: 'limitr' };
  runsOn = 'server';
  #limitr;

  /** @param {import('./index.js').Limitr} limitr whose owner closes it */
  constructor(limitr) {
    if (typeof limitr?.check !== 'function') throw new TypeError('limitr: expected an engine');
    this.#limitr = limitr;
  }

  async resolveBooleanEvaluation(flag, _, context) {
    const decision = await this.#decision(flag, context);
    return this.#resolved(decision.allowed, decision);
  }

  async resolveObjectEvaluation(flag, _, context) {
    const decision = await this.#decision(flag, context);
    return this.#resolved(decision, decision);
  }

  async resolveNumberEvaluation(flag, _, context) {
    const decision = await this.#figureOf(flag, context);
    const left = await asked(() => this.#limitr.remaining(context.targetingKey, flag));
    if (left === undefined) throw new TypeMismatchError(`${flag} has no limit, so nothing is left of it`);
    return this.#resolved(left, decision);
  }

  async resolveStringEvaluation(flag, _, context) {
    const decision = await this.#figureOf(flag, context);
    const limit = await asked(() => this.#limitr.limitObject(context.targetingKey, flag));
    if (!limit) throw new TypeMismatchError(`${flag} has no limit, and so no mode`);
    return this.#resolved(limit.mode, decision);
  }

  #resolved(value, decision) {
    const details = { value, reason: StandardResolutionReasons.TARGETING_MATCH };
    if (!decision.allowed) details.flagMetadata = { denied: decision.reason };
    return details;
  }

  /** What check() answers; throws where nobody is asked about, or no plan has the entitlement. */
  async #decision(flag, context) {
    const id = context?.targetingKey;
    if (typeof id !== 'string' || id === '') {
      throw new TargetingKeyMissingError('the targeting key is the ID of the customer');
    }
    const decision = await asked(() => this.#limitr.check(id, flag, 0, { detail: true }));
    const isUnknown = decision.reason === 'unknown_entitlement' || decision.reason === 'unknown_customer';
    // What another plan has is a feature that this customer does not have, not an unknown one.
    if (isUnknown && !(await this.#isInSomePlan(flag))) {
      throw new FlagNotFoundError(`no plan has an entitlement ${flag}`);
    }
    return decision;
  }

  /** The same, for what only somebody who has the entitlement can have. */
  async #figureOf(flag, context) {
    const decision = await this.#decision(flag, context);
    if (decision.reason === 'unknown_customer') {
      throw new InvalidContextError(`there is no customer ${context.targetingKey}`);
    }
    if (decision.reason === 'unknown_entitlement') {
      throw new FlagNotFoundError(`the plan of ${context.targetingKey} has no entitlement ${flag}`);
    }
    return decision;
  }

  async #isInSomePlan(flag) {
    const { policy } = await asked(() => this.#limitr.policy());
    return Object.values(policy.plans ?? {}).some(
      (plan) => Object.hasOwn(plan.entitlements ?? {}, flag));
  }
}

module.exports = { LimitrProvider };
