// SPDX-License-Identifier: Apache-2.0
import type { EvaluationContext, JsonValue, Provider, ResolutionDetails } from '@openfeature/server-sdk';
import type { Limitr } from './index.js';

/**
 * Entitlements as feature flags: the flag's key is the entitlement's name, the targeting key the
 * customer's ID. Evaluating changes no meter.
 *
 * An entitlement that no plan has is FLAG_NOT_FOUND; a missing targeting key is TARGETING_KEY_MISSING;
 * what the engine cannot answer is GENERAL. Closing the engine is left to you.
 */
export class LimitrProvider implements Provider {
  constructor(limitr: Limitr);
  readonly metadata: { readonly name: 'limitr' };
  readonly runsOn: 'server';
  /** Whether check() allows it; false for who is unknown, and for what only other plans have. */
  resolveBooleanEvaluation(flagKey: string, defaultValue: boolean,
    context: EvaluationContext): Promise<ResolutionDetails<boolean>>;
  /** What remaining() gives; TYPE_MISMATCH without a limit. */
  resolveNumberEvaluation(flagKey: string, defaultValue: number,
    context: EvaluationContext): Promise<ResolutionDetails<number>>;
  /** The limit's mode: hard, soft or observe; TYPE_MISMATCH without a limit. */
  resolveStringEvaluation(flagKey: string, defaultValue: string,
    context: EvaluationContext): Promise<ResolutionDetails<string>>;
  /** The decision that check() makes. */
  resolveObjectEvaluation<T extends JsonValue>(flagKey: string, defaultValue: T,
    context: EvaluationContext): Promise<ResolutionDetails<T>>;
}
