import assert from "node:assert/strict";
import { test } from "node:test";
import { serverCommand, type Places } from "../src/server_command";

const PLACES: Places = {
  setting: "",
  interpreter: () => Promise.resolve("/project/.venv/bin/python"),
  searchPath: "/empty:/usr/bin",
  home: "/home/me",
  isWindows: false,
};
const nowhere = (): Promise<undefined> => Promise.resolve(undefined);

function check(name: string, places: Partial<Places>, files: string[], expected: unknown): void {
  test(name, async () => {
    const all = { ...PLACES, ...places };
    assert.deepEqual(await serverCommand(all, (file) => files.includes(file)), expected);
  });
}

const beside = "/project/.venv/bin/warmline";
const onPath = "/usr/bin/warmline";
check("the setting comes first", { setting: "/mine" }, ["/mine", beside, onPath], {
  command: "/mine",
  from: "setting",
});
check("then the interpreter", {}, [beside, onPath], { command: beside, from: "interpreter" });
check("then the path", {}, [onPath], { command: onPath, from: "path" });
check("no interpreter is no matter", { interpreter: nowhere }, [beside, onPath], {
  command: onPath,
  from: "path",
});
check("nothing is said where there is nothing", {}, [], undefined);
check(
  "an empty entry of the path is not the folder we are in",
  { searchPath: ":.:bin:~/bin", interpreter: nowhere },
  ["warmline", "./warmline", "bin/warmline", "~/bin/warmline"],
  undefined,
);
check("a setting may begin at home", { setting: "~/bin/warmline" }, ["/home/me/bin/warmline"], {
  command: "/home/me/bin/warmline",
  from: "setting",
});
check("or be a name on the path", { setting: "warmline" }, [onPath], {
  command: onPath,
  from: "setting",
});

test("a setting that names nothing is told by name, whatever else there is", async () => {
  const places = { ...PLACES, interpreter: () => assert.fail("it was asked for the interpreter") };
  const exists = (file: string): boolean => file === onPath;
  const told = (setting: string): Promise<unknown> => serverCommand({ ...places, setting }, exists);
  await assert.rejects(told("/no/warmlin"), /warmline\.command: .*\/no\/warmlin does not exist$/);
  await assert.rejects(told("warmlin"), /warmlin is not on the PATH$/);
});

test("what is passed over is not taken, wherever it was found", async () => {
  const found = (setting: string, passed: string[]): Promise<unknown> =>
    serverCommand(
      { ...PLACES, setting },
      () => true,
      (command) => passed.includes(command),
    );
  assert.deepEqual(await found("/mine", ["/mine"]), { command: beside, from: "interpreter" });
  const all = ["/mine", beside, "/empty/warmline", onPath];
  assert.equal(await found("/mine", all), undefined);
});
