/** The fake Telegram's parser refuses what Telegram's parser refuses, in its words. */
import assert from "node:assert/strict";
import { EntityError, parseTelegramHtml } from "../fakes/telegram_html.ts";

const REFUSED: readonly [html: string, error: string][] = [
  ["🏟 🏟&lt;<abacaba", "Unclosed start tag at byte offset 13"],
  ["🏟 🏟&lt;<abac>", 'Unsupported start tag "abac" at byte offset 13'],
  ["<p>x</p>", 'Unsupported start tag "p" at byte offset 0'],
  ["a<br>b", 'Unsupported start tag "br" at byte offset 1'],
  ["<b>x", 'Can\'t find end tag corresponding to start tag "b"'],
  ["x</b>", "Unexpected end tag at byte offset 1"],
  ["<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'],
  ["<i>a</i", "Unclosed end tag at byte offset 4"],
  ["<i>a</em>", 'Unmatched end tag at byte offset 4, expected "</i>", found "</em>"'],
  ["<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'],
  ['<b class="x">y</b>', 'Unexpected attribute "class" in the tag "b" at byte offset 0'],
  ['<a href="x>y</a>', 'Unclosed start tag "a" at byte offset 0'],
  ["a & b", "Unsupported entity at byte offset 2"],
  ["a&nbsp;b", "Unsupported entity at byte offset 1"],
  ["a > b", 'Unescaped ">" at byte offset 2'],
  ["1 < 2", 'Unsupported start tag "" at byte offset 2'],
];

for (const [html, error] of REFUSED) {
  Deno.test(`the fake Telegram refuses ${html}`, () => {
    assert.throws(() => parseTelegramHtml(html), (thrown: Error) => {
      assert.ok(thrown instanceof EntityError);
      assert.equal(thrown.message, error);
      return true;
    });
  });
}

Deno.test("the fake Telegram refuses a surrogate by number", () => {
  assert.throws(() => parseTelegramHtml("&#xDFDF;"), /invalid Unicode characters/);
});

Deno.test("the fake Telegram takes what Telegram takes", () => {
  const { visible, readable } = parseTelegramHtml(
    '<b>a <i>b</i></b> <a href="https://x.co/?a=1&amp;b=2">link</a> <code class="language-sql">&lt;x&gt; &amp; &quot;y&quot; &#128512;</code>' +
      '<span class="tg-spoiler">z</span><blockquote expandable>q</blockquote>',
  );
  assert.equal(visible, 'a b link <x> & "y" 😀zq');
  assert.equal(readable, 'a b link <https://x.co/?a=1&b=2> <x> & "y" 😀zq');
});
