// SPDX-License-Identifier: Apache-2.0
'use strict';
// A method's arguments as the engine takes them: one object by the engine's names. What the engine
// would refuse for its kind is refused here, where its name is known to whoever calls.

const { LimitrError } = require('./error.cjs');
const { RENAMED } = require('./calls.cjs');

/** resetInc -> reset_inc */
function snakeCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** {writeInterval: 5} -> {write_interval: 5}; what is undefined is left out. */
function snakeKeys(object) {
  const named = {};
  for (const [key, value] of Object.entries(object)) {
    if (value !== undefined) named[snakeCase(key)] = value;
  }
  return named;
}

function isMapping(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) &&
    !(value instanceof Date);
}

function isText(value) {
  return typeof value === 'string';
}

// Each kind of argument: what it is called, and whether a value is one.
const KINDS = {
  text: ['a text', isText],
  number: ['a number', (value) => typeof value === 'number'],
  quantity: ['a number, or a text with a unit', (value) => isText(value) || typeof value === 'number'],
  flag: ['true or false', (value) => typeof value === 'boolean'],
  moment: ['a Date, milliseconds, or a text',
           (value) => isText(value) || typeof value === 'number' || value instanceof Date],
  texts: ['a list of texts', (value) => Array.isArray(value) && value.every(isText)],
  data: ['an object, or JSON text', (value) => isText(value) || isMapping(value)],
  event: ['true, false, an object, or JSON text',
          (value) => typeof value === 'boolean' || isText(value) || isMapping(value)],
  caps: ['a cap, a map of credit to ceiling, or a list of them',
         (value) => isMapping(value) || Array.isArray(value)],
  document: ['a policy, as an object or a text', (value) => isText(value) || isMapping(value)],
  records: ['customer records, as an object, a list or a text',
            (value) => isText(value) || isMapping(value) || Array.isArray(value)],
  usage: ['a map of entitlement to usage', isMapping],
  calls: ['a list of calls', Array.isArray],
};

function shown(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `${typeof value} ${String(value)}`;
}

/** A value that the engine can be given as JSON. Throws TypeError, naming the argument. */
function checked(value, kind, name) {
  const [wanted, fits] = KINDS[kind];
  if (!fits(value)) throw new TypeError(`${name}: expected ${wanted}, found ${shown(value)}`);
  if (value instanceof Date) value = value.getTime();
  // JSON has no such numbers: they would arrive as nothing at all.
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new LimitrError('invalid_value', `expected a finite number, found ${value}`, name);
  }
  return kind === 'calls' ? value.map((one) => (isMapping(one) ? snakeKeys(one) : one)) : value;
}

/** Reads what a call takes from the engine's own list. */
class Parameters {
  /** @param {string} text what the addon says of all calls */
  constructor(text) {
    this.byCall = new Map();
    for (const { name, parameters } of JSON.parse(text)) {
      this.byCall.set(name, new Map(parameters.map((one) => [one.name, one])));
    }
  }

  /** The options at the end of `given`, if the last of them is such. */
  options(call, kinds, given) {
    const last = given.at(-1);
    if (!isMapping(last)) return undefined;
    if (given.length > call.takes.length) return last;
    const place = kinds.get(this.engineName(call.takes[given.length - 1])).kind;
    if (KINDS[place][1](last)) {
      // Event data may be any object. It is taken for options where options are all it has.
      if (place !== 'event') return undefined;
      const keys = Object.keys(last);
      if (keys.length === 0 || !keys.every((key) => kinds.has(this.engineName(key)))) {
        return undefined;
      }
    }
    return last;
  }

  engineName(name) {
    return RENAMED[name] ?? snakeCase(name);
  }

  /** The arguments of a call, by the engine's names. Throws TypeError. */
  of(call, given) {
    const kinds = this.byCall.get(call.name);
    while (given.length > 0 && given.at(-1) === undefined) given.pop();
    const options = this.options(call, kinds, given);
    const places = options === undefined ? given : given.slice(0, -1);
    if (places.length > call.takes.length) {
      throw new TypeError(`unexpected argument: ${shown(places[call.takes.length])}`);
    }
    const named = { ...call.defaults };
    const add = (name, value) => {
      if (value === undefined || value === null) return;
      const parameter = kinds.get(this.engineName(name));
      if (!parameter) throw new TypeError(`${name}: there is no such option`);
      named[parameter.name] = checked(value, parameter.kind, name);
    };
    places.forEach((value, i) => add(call.takes[i], value));
    for (const [name, value] of Object.entries(options ?? {})) add(name, value);
    for (const name of call.takes) {
      const parameter = kinds.get(this.engineName(name));
      if (parameter.required && named[parameter.name] === undefined) {
        throw new TypeError(`${name}: expected ${KINDS[parameter.kind][0]}, found nothing`);
      }
    }
    return named;
  }
}

module.exports = { Parameters, isMapping, shown, snakeKeys };
