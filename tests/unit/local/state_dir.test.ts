import assert from "node:assert/strict";
import { basename } from "node:path";
import { removeAbandonedStateDirs, removeStateDir, stateDir } from "../../../scripts/local/state_dir.ts";

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

Deno.test({
  name: "removeAbandonedStateDirs() takes only what names a folder that is gone",
  // others keep their state in a folder of their own, which nobody clears away
  ignore: Deno.build.os === "windows" || Deno.uid() !== 0,
  fn: async () => {
    const [kept, gone, unnamed] = await Promise.all(
      ["kept", "gone", "unnamed"].map((prefix) => Deno.makeTempDir({ prefix: `state_dir_test_${prefix}_` })),
    ) as [string, string, string];
    const dirs = await Promise.all([kept, gone, unnamed].map(async (root) => (await stateDir(root)).dir));
    try {
      await Deno.remove(gone);
      await Deno.writeTextFile(`${dirs[2]}/root_dir`, "");
      await removeAbandonedStateDirs((dir) => Promise.resolve(!dirs.includes(dir)));
      assert.deepEqual(await Promise.all(dirs.map(exists)), [true, false, true]);
    } finally {
      for (const root of [kept, gone, unnamed]) {
        await removeStateDir(root);
        await Deno.remove(root, { recursive: true });
      }
    }
  },
});

Deno.test({
  name: "stateDir() writes whose folder it is once, and never half of it",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const root = await Deno.makeTempDir({ prefix: "state_dir_test_" });
    try {
      const { dir } = await stateDir(root);
      let over = false;
      const writes = Promise.all(Array.from({ length: 20 }, () => stateDir(root))).then(() => over = true);
      while (!over) assert.equal(await Deno.readTextFile(`${dir}/root_dir`), root);
      await writes;
      const names = await Array.fromAsync(Deno.readDir(dir), ({ name }) => basename(name));
      assert.deepEqual(names.sort(), ["clusters", "root_dir", "templates"]);
    } finally {
      await removeStateDir(root);
      await Deno.remove(root, { recursive: true });
    }
  },
});
