// Reads one request as JSON from standard input, signs or verifies with the library, and prints the result as JSON.
// A library is imported by its first use: the one of Shopify takes half a second.
import { text } from 'node:stream/consumers';

const SHOPIFY_HEADERS = {
  'X-Shopify-Topic': 'customers/update',
  'X-Shopify-Shop-Domain': 'shop.myshopify.com',
  'X-Shopify-API-Version': '2026-07',
  'X-Shopify-Webhook-Id': '1',
};

const libraries = {
  github: async () => {
    const { sign, verify } = await import('@octokit/webhooks-methods');
    return {
      sign: async ({ body, secret }) => ({ 'x-hub-signature-256': await sign(secret, body) }),
      verify: ({ body, secret, headers }) => verify(secret, body, headers['x-hub-signature-256']),
    };
  },
  shopify: async () => {
    await import('@shopify/shopify-api/adapters/node');
    const { HashFormat, createSHA256HMAC } = await import('@shopify/shopify-api/runtime');
    const { ApiVersion, shopifyApi } = await import('@shopify/shopify-api');
    return {
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
    };
  },
  svix: async () => {
    const { Webhook } = await import('svix');
    return {
      sign: ({ body, secret, atSeconds }) => ({
        'svix-id': 'msg_1',
        'svix-timestamp': String(atSeconds),
        'svix-signature': new Webhook(secret).sign('msg_1', new Date(atSeconds * 1000), body),
      }),
      verify: ({ body, secret, headers }) => {
        try {
          new Webhook(secret).verify(body, headers);
          return true;
        } catch {
          return false;
        }
      },
    };
  },
};

const request = JSON.parse(await text(process.stdin));
const library = await libraries[request.sender]();
process.stdout.write(JSON.stringify(await library[request.call](request)));
