// RFC 8693 by other hands than the agent's: each rule of §2.1 that a server may be strict about.
import * as jose from 'jose';
import { errors } from 'oidc-provider';

export const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const PARAMETERS = [
  'resource', 'audience', 'scope', 'requested_token_type',
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
];
export const CLAIMS = new WeakMap(); // token → claims beyond the provider's own

const TYPE = 'urn:ietf:params:oauth:token-type:';
const { InvalidRequest, InvalidScope, InvalidTarget } = errors;

class AccessDenied extends errors.OIDCProviderError {
  error = 'access_denied';
  status = 403;
  statusCode = 403;
  expose = true;
  constructor(description) {
    super(403, 'access_denied');
    this.error_description = description;
  }
}

// What a token says, verified; settings.trusted lists foreign issuers of `jwt`s.
async function read(provider, settings, ours, value, type, what) {
  if (type === `${TYPE}access_token` && value.split('.').length !== 3) {
    const token = await provider.AccessToken.find(value)
      ?? await provider.ClientCredentials.find(value);
    if (!token?.isValid) throw new InvalidRequest(`${what} is not valid`);
    return {
      iss: provider.issuer, sub: token.accountId ?? token.clientId, aud: token.aud,
      exp: token.exp, client_id: token.clientId, ...token.extra,
    };
  }
  let claims;
  try {
    claims = jose.decodeJwt(value);
  } catch {
    throw new InvalidRequest(`${what} is no JWT`);
  }
  const known = {
    [`${TYPE}access_token`]: { issuer: provider.issuer, keys: ours, typ: 'at+jwt' },
    [`${TYPE}id_token`]: { issuer: provider.issuer, keys: ours },
    [`${TYPE}jwt`]: settings.trusted.map(({ issuer, jwks, audience }) =>
      ({ issuer, audience, keys: jose.createLocalJWKSet(jwks) })).find((one) => one.issuer === claims.iss),
  }[type];
  if (!known) throw new InvalidRequest(`${what} has a type or an issuer that is not supported`);
  try {
    const { keys, ...rest } = known;
    return (await jose.jwtVerify(value, keys, { ...rest, requiredClaims: ['exp', 'sub'] })).payload;
  } catch (error) {
    throw new InvalidRequest(`${what} is not valid: ${error.code}`);
  }
}

function oneOf(value) {
  if (Array.isArray(value)) throw new InvalidTarget('one audience and one resource at most');
  return value;
}

export function exchange(provider, settings, resourceServer) {
  const published = settings.keys.map(({ d, p, q, dp, dq, qi, ...shown }) => shown);
  const ours = jose.createLocalJWKSet({ keys: published });
  return async function handle(ctx) {
    const { client, params } = ctx.oidc;
    if (!params.subject_token || !params.subject_token_type) {
      throw new InvalidRequest('subject_token and subject_token_type are required');
    }
    if (!params.actor_token !== !params.actor_token_type) {
      throw new InvalidRequest('actor_token and actor_token_type go together');
    }
    const wanted = params.requested_token_type ?? `${TYPE}access_token`;
    if (![`${TYPE}access_token`, `${TYPE}jwt`].includes(wanted)) {
      throw new InvalidRequest('requested_token_type is not supported');
    }
    const subject = await read(provider, settings, ours, params.subject_token, params.subject_token_type, 'subject_token');
    // As Keycloak has it: whoever exchanges a token is meant by it.
    const requester = settings.requesters[client.clientId];
    if (![subject.aud].flat().includes(requester)) {
      throw new AccessDenied('Client is not within the token audience');
    }
    const actor = params.actor_token
      ? await read(provider, settings, ours, params.actor_token, params.actor_token_type, 'actor_token')
      : undefined;
    if (actor && params.actor_token_type === `${TYPE}access_token` && actor.client_id !== client.clientId) {
      throw new AccessDenied('the actor is another client');
    }
    const [audience, resource] = [oneOf(params.audience), oneOf(params.resource)];
    const named = resource ?? Object.keys(settings.resources).find((each) => settings.resources[each].logical === audience);
    if (!named || (audience && resource && settings.resources[resource]?.logical !== audience)) {
      throw new InvalidTarget('no such target');
    }
    const target = new provider.ResourceServer(named, resourceServer(ctx, named));
    const scopes = (params.scope ?? '').split(' ').filter(Boolean);
    if (scopes.some((scope) => !target.scopes.has(scope))) throw new InvalidScope('scope is not the target\'s', params.scope);
    const Model = subject.sub === subject.client_id ? provider.ClientCredentials : provider.AccessToken;
    const token = new Model({ client, accountId: subject.sub, scope: scopes.join(' ') || undefined });
    token.resourceServer = target;
    const act = actor && { sub: actor.sub, iss: actor.iss, ...(subject.act ? { act: subject.act } : {}) };
    CLAIMS.set(token, { ...(act ? { act } : {}), from: subject.jti });
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: wanted,
      token_type: 'Bearer',
      expires_in: token.expiration,
      ...(token.scope ? { scope: token.scope } : {}),
    };
  };
}
