// SPDX-License-Identifier: Apache-2.0
// Compiles under --strict: what the package has for Express, Fastify and OpenFeature.

import { OpenFeature } from '@openfeature/server-sdk';
import express, { type Request } from 'express';
import { fastify, type FastifyRequest } from 'fastify';

import {
  rateLimitHeaders, type Decision, type Limitr, type Middleware, type MiddlewareOptions,
} from '@formata/limitr';
import { LimitrProvider } from '@formata/limitr/openfeature';

export async function serve(limitr: Limitr): Promise<void> {
  const app = express();
  app.use(limitr.middleware({ entitlement: 'api', customer: (req) => req.user.id }));
  app.get('/chat', limitr.middleware({
    entitlement: (req) => req.path.slice(1),
    customer: async (req: Request) => req.get('x-customer') ?? '',
    value: (req) => req.get('x-size') ?? 1,
    plan: 'pro',
    ensure: true,
    denied: (req, res, decision: Decision) => res.status(402).send(decision.reason),
  }), (req, res) => void res.end());

  const server = fastify();
  server.addHook('preHandler', limitr.middleware({
    entitlement: 'api', customer: (request: FastifyRequest) => String(request.headers['x-customer']), value: '2 MB',
  }));
  const options: MiddlewareOptions = { entitlement: 'api', customer: () => 'ann', ensure: false };
  const hook: Middleware = limitr.middleware(options);
  server.get('/chat', { preHandler: hook }, async () => 'hello');

  const headers: Record<string, string> = rateLimitHeaders(await limitr.decide('ann', 'api'), Date.now());
  console.log(headers);
  await OpenFeature.setProviderAndWait(new LimitrProvider(limitr));
}
