// Issues JWT access tokens for client credentials: `node issuer.mjs RS256|ES256`. Prints `address URL`, then answers each line of
// standard input with `done WORD KID`, KID being the newest key:
//   publish   a new key joins the key set; tokens are signed as before
//   sign      the newest key signs from now on
//   rotate    both at once
//   retire    only the newest key is left in the set
// It ends with its standard input.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const algorithm = process.argv[2] ?? 'RS256';
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }] };

function newKey() {
  const { privateKey } = generateKeyPairSync(...kinds[algorithm]);
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: algorithm, use: 'sig' };
}

// Newest first.
let keys = [newKey()];
let signing = keys[0];
let handle;

function provider(issuer) {
  const resource = 'urn:applications-api';
  // Requests that are under way end with the keys they began with.
  const { kid } = signing;
  return new Provider(issuer, {
    clients: [{
      client_id: 'elsewhere',
      client_secret: 'a-secret-of-the-other-issuer',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: 'application',
      id_token_signed_response_alg: algorithm,
    }],
    scopes: ['application'],
    jwks: { keys },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        getResourceServerInfo: () => ({
          scope: 'application',
          audience: 'applications-api',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: algorithm, kid } },
        }),
      },
    },
    extraTokenClaims: () => ({ customer_id: 'bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc' }),
  });
}

const server = createServer((request, reply) => handle(request, reply));
// Callers that pause keep their connection.
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  // The provider reads its keys once, so each change makes another one. It keeps nothing of a token that is a JWT.
  const renew = () => { handle = provider(issuer).callback(); };
  renew();
  console.log(`address ${issuer}`);
  createInterface({ input: process.stdin })
    .on('line', (word) => {
      if (word === 'publish' || word === 'rotate') keys = [newKey(), ...keys];
      if (word === 'sign' || word === 'rotate') [signing] = keys;
      if (word === 'retire') keys = [keys[0]];
      renew();
      console.log(`done ${word} ${keys[0].kid}`);
    })
    .on('close', () => process.exit());
});
