// Reads one request as JSON from standard input, signs or verifies with the library, and prints the result as JSON.
import '@shopify/shopify-api/adapters/node';
import { sign, verify } from '@octokit/webhooks-methods';
import { HashFormat, createSHA256HMAC } from '@shopify/shopify-api/runtime';
import { ApiVersion, shopifyApi } from '@shopify/shopify-api';
import { text } from 'node:stream/consumers';

const SHOPIFY_HEADERS = {
  'X-Shopify-Topic': 'customers/update',
  'X-Shopify-Shop-Domain': 'shop.myshopify.com',
  'X-Shopify-API-Version': '2026-07',
  'X-Shopify-Webhook-Id': '1',
};

const libraries = {
  github: {
    sign: async ({ body, secret }) => ({ 'x-hub-signature-256': await sign(secret, body) }),
    verify: ({ body, secret, headers }) => verify(secret, body, headers['x-hub-signature-256']),
  },
  shopify: {
    sign: async ({ body, secret }) => ({
      'x-shopify-hmac-sha256': await createSHA256HMAC(secret, body, HashFormat.Base64),
    }),
    verify: async ({ body, secret, headers }) => {
      const shopify = shopifyApi({
        apiKey: 'key', apiSecretKey: secret, hostName: 'localhost', isEmbeddedApp: false,
        apiVersion: Object.values(ApiVersion).at(-1), logger: { log: () => {} },
      });
      const rawRequest = { method: 'POST', url: '/webhooks/shop', headers: { ...SHOPIFY_HEADERS, ...headers } };
      return (await shopify.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} })).valid;
    },
  },
};

const request = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(await libraries[request.sender][request.call](request)));
