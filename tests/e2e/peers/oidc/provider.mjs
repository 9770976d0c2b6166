// An OpenID provider that is not ours: panva's oidc-provider, over https on a port of its own.
// node provider.mjs SETTINGS.json; prints one line "READY <issuer>" and then its complaints.
// SETTINGS: {tls, ca, clients, resources, trusted, requesters, ttl, keys}; see peers/oidc.py.
import * as fs from 'node:fs';
import * as https from 'node:https';
import { X509Certificate } from 'node:crypto';
import { Provider, errors } from 'oidc-provider';
import { exchange, GRANT, PARAMETERS, CLAIMS } from './exchange.mjs';

const settings = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const pem = fs.readFileSync(settings.tls);
const server = https.createServer({
  key: pem, cert: pem, ca: [fs.readFileSync(settings.ca)], requestCert: true, rejectUnauthorized: false,
});

function resourceServer(ctx, identifier) {
  const found = settings.resources[identifier];
  if (!found) throw new errors.InvalidTarget();
  const { alg, ...rest } = found;
  return { accessTokenTTL: 3600, ...rest, ...(alg ? { accessTokenFormat: 'jwt', jwt: { sign: { alg } } } : {}) };
}

const certificate = (ctx) => {
  const raw = ctx.socket.getPeerCertificate().raw;
  return raw ? new X509Certificate(raw) : undefined;
};

server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: { keys: settings.keys },
    ttl: settings.ttl,
    scopes: ['openid', 'offline_access', ...settings.scopes],
    claims: { openid: ['sub'], profile: ['name'] },
    cookies: { keys: ['not a secret'] },
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none',
    ],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
    },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: `Name of ${id}` }) }),
    extraTokenClaims: (ctx, token) => CLAIMS.get(token),
    issueRefreshToken: (ctx, client, code) =>
      client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    // It would tell nobody on loopback that somebody signed out.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    rotateRefreshToken: true, // a token that is used twice revokes its whole grant
    features: {
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        getCertificate: certificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_dns'
          && certificate(ctx).subjectAltName === `DNS:${expected}`,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: resourceServer,
        useGrantedResource: () => true,
      },
    },
  });
  provider.registerGrantType(GRANT, exchange(provider, settings, resourceServer), PARAMETERS, ['resource', 'audience']);
  for (const name of ['grant.error', 'server_error', 'introspection.error']) {
    provider.on(name, (ctx, error) => {
      console.log(`${name}: ${error.error ?? error.stack}: ${error.error_description ?? ''}: ${error.error_detail ?? ''}`);
    });
  }
  const handle = provider.callback();
  const counted = {};
  server.on('request', (request, response) => {
    // How often each path was asked: GET /-/counts
    if (request.url === '/-/counts') return response.end(JSON.stringify(counted));
    const path = request.url.split('?')[0];
    counted[path] = (counted[path] ?? 0) + 1;
    return handle(request, response);
  });
  console.log(`READY ${issuer}`);
});
