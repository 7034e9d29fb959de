/** Where alerts may be sent to. */
import assert from "node:assert/strict";
import { guardUrl } from "../../supabase/functions/_shared/channels/url_guard.ts";

const REFUSED = [
  "not a url",
  "http://discord.com/api/webhooks/1/x",
  "ftp://discord.com/x",
  "file:///etc/passwd",
  "https://user:pass@discord.com/x",
  "https://localhost/x",
  "https://LOCALHOST./x",
  "https://sink.localhost/x",
  "https://kubernetes/x",
  "https://db.internal/x",
  "https://metadata.google.internal/computeMetadata/v1/",
  "https://printer.local/x",
  "https://127.0.0.1/x",
  "https://127.1/x",
  "https://2130706433/x",
  "https://0x7f000001/x",
  "https://0177.0.0.1/x",
  "https://0/x",
  "https://10.1.2.3/x",
  "https://100.64.0.1/x",
  "https://169.254.169.254/latest/meta-data/",
  "https://172.16.0.1/x",
  "https://172.31.255.255/x",
  "https://192.168.1.1/x",
  "https://198.18.0.1/x",
  "https://203.0.113.9/x",
  "https://224.0.0.1/x",
  "https://255.255.255.255/x",
  "https://[::]/x",
  "https://[::1]/x",
  "https://[::ffff:127.0.0.1]/x",
  "https://[::ffff:10.0.0.1]/x",
  "https://[64:ff9b::10.0.0.1]/x",
  "https://[2002:7f00:1::]/x",
  "https://[2001::1]/x",
  "https://[2001:db8::1]/x",
  "https://[fc00::1]/x",
  "https://[fd12:3456::1]/x",
  "https://[fe80::1]/x",
  "https://[ff02::1]/x",
];

for (const url of REFUSED) {
  Deno.test(`guardUrl() refuses ${url}`, () => {
    assert.throws(() => guardUrl(url, []), { code: "url_refused" });
  });
}

for (
  const url of [
    "https://discord.com/api/webhooks/1/x?wait=true",
    "https://api.telegram.org/bot1:x/sendMessage",
    "https://172.32.0.1/x",
    "https://100.128.0.1/x",
    "https://1.1.1.1/x",
    "https://[2606:4700:4700::1111]/x",
    "https://[64:ff9b::1.1.1.1]/x",
    "https://localhost.example.com/x",
  ]
) {
  Deno.test(`guardUrl() lets ${url} pass`, () => {
    assert.equal(guardUrl(url, []).href, url.replace("1.1.1.1]", "101:101]"));
  });
}

Deno.test("guardUrl() lets hosts pass that the configuration allows, with their port only", () => {
  const allowed = ["127.0.0.1:54340", "relay.internal:443"];
  assert.equal(guardUrl("http://127.0.0.1:54340/x", allowed).port, "54340");
  assert.equal(guardUrl("https://relay.internal/x", allowed).hostname, "relay.internal");
  assert.throws(() => guardUrl("http://127.0.0.1:5432/x", allowed), { code: "url_refused" });
  assert.throws(() => guardUrl("https://relay.internal:8443/x", allowed), { code: "url_refused" });
  assert.throws(() => guardUrl("http://relay.internal/x", allowed), { code: "url_refused" });
});

Deno.test("guardUrl() names the host, never the path", () => {
  assert.throws(() => guardUrl("https://localhost/api/webhooks/1/secret", []), (error: Error) => {
    assert.equal(error.message, 'Cannot send to host "localhost": it is not on the public internet');
    return true;
  });
});
