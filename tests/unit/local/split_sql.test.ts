/** How a migration is split into statements. */
import assert from "node:assert/strict";
import { splitSql } from "../../../scripts/local/split_sql.ts";

const texts = (sql: string) => splitSql(sql).map((statement) => statement.text);

Deno.test("splitSql() cuts at semicolons and drops them, white space and empty statements", () => {
  assert.deepEqual(texts("select 1;\n\n select 2 ;;\n; select 3"), ["select 1", "select 2", "select 3"]);
  assert.deepEqual(texts(" \n"), []);
});

Deno.test("splitSql() keeps semicolons in strings, quoted names and numbers' neighbours", () => {
  for (
    const statement of [
      "select 'a;b', 'it''s;'",
      String.raw`select E'it\'s; ok', e'\\'`,
      `select "a;""b"`,
      String.raw`select '\'`, // a backslash means nothing in a plain string
      "select U&'d;\\0061t'",
    ]
  ) assert.deepEqual(texts(`${statement}; select 2`), [statement, "select 2"]);
});

Deno.test("splitSql() keeps semicolons in comments, which may nest", () => {
  assert.deepEqual(texts("select 1 -- a; 'b\n; select /* ; /* ; */ ; */ 2"), [
    "select 1 -- a; 'b",
    "select /* ; /* ; */ ; */ 2",
  ]);
});

Deno.test("splitSql() keeps dollar-quoted bodies whole, whatever they quote", () => {
  const body = "create function f() returns int language plpgsql as $$ begin return 1; end $$";
  const tagged = "do $a$ begin perform $b$;$b$; perform '$$'; end $a$";
  assert.deepEqual(texts(`${body};\n${tagged};`), [body, tagged]);
  assert.deepEqual(
    texts("select a$1$b; select 2"),
    ["select a$1$b", "select 2"],
    "$ inside a name quotes nothing",
  );
});

Deno.test("splitSql() keeps a body of begin atomic … end whole", () => {
  const body =
    "create function f() returns int begin atomic select case when true then 1 else 2 end; select 2; end";
  assert.deepEqual(texts(`${body}; select 3`), [body, "select 3"]);
  assert.deepEqual(texts("begin; select 1; end"), ["begin", "select 1", "end"]);
});

Deno.test("splitSql() leaves an unclosed quote or comment to the server", () => {
  assert.deepEqual(texts("select $$ a; b"), ["select $$ a; b"]);
  assert.deepEqual(texts("select 1 /* a; b"), ["select 1 /* a; b"]);
});

Deno.test("splitSql() says at which line each statement begins", () => {
  const lines = splitSql("\n-- why\nselect 1;\n\n\nselect 2; select 3").map((statement) => statement.line);
  assert.deepEqual(lines, [2, 6, 6]);
});

Deno.test("splitSql() splits as the Supabase CLI 3.1.0 was seen to", () => {
  const file = `-- header comment; with semicolon
-- another

create table thing (id int primary key, note text default 'a;b'); -- trailing

/* block ; /* nested ; */ */
create function f() returns int language plpgsql as $$
begin
  -- inner ; comment
  return 1;
end
$$;

create function g() returns int language sql begin atomic select 1; select 2; end;
insert into thing values (1, E'it\\'s; ok'), (2, 'it''s;');
comment on table thing is 'x';;

begin;
select 1;
commit;
select "a;b" from (select 1 as "a;b") x
`;
  assert.deepEqual(texts(file), [
    "-- header comment; with semicolon\n-- another\n\n" +
    "create table thing (id int primary key, note text default 'a;b')",
    "-- trailing\n\n/* block ; /* nested ; */ */\ncreate function f() returns int language plpgsql as $$\n" +
    "begin\n  -- inner ; comment\n  return 1;\nend\n$$",
    "create function g() returns int language sql begin atomic select 1; select 2; end",
    "insert into thing values (1, E'it\\'s; ok'), (2, 'it''s;')",
    "comment on table thing is 'x'",
    "begin",
    "select 1",
    "commit",
    'select "a;b" from (select 1 as "a;b") x',
  ]);
  assert.deepEqual(texts(""), []);
  assert.deepEqual(texts("-- only a comment\n"), ["-- only a comment"]);
});
