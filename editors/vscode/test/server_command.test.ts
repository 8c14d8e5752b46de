import assert from "node:assert/strict";
import { test } from "node:test";
import { serverCommand, type CommandSources } from "../src/server_command";

const PLACES: CommandSources = {
  setting: "",
  interpreter: () => Promise.resolve("/project/.venv/bin/python"),
  searchPath: "/empty:/usr/bin",
  home: "/home/me",
  isWindows: false,
};
const noInterpreter = (): Promise<undefined> => Promise.resolve(undefined);

function check(
  name: string,
  sources: Partial<CommandSources>,
  files: string[],
  expected: unknown,
): void {
  test(name, async () => {
    const all = { ...PLACES, ...sources };
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
check("then the PATH", {}, [onPath], { command: onPath, from: "path" });
check("no interpreter is not an error", { interpreter: noInterpreter }, [beside, onPath], {
  command: onPath,
  from: "path",
});
check("without a command nothing is found", {}, [], undefined);
check(
  "an empty or relative entry of the PATH is ignored",
  { searchPath: ":.:bin:~/bin", interpreter: noInterpreter },
  ["warmline", "./warmline", "bin/warmline", "~/bin/warmline"],
  undefined,
);
check("the setting may start with ~", { setting: "~/bin/warmline" }, ["/home/me/bin/warmline"], {
  command: "/home/me/bin/warmline",
  from: "setting",
});
check("or be a name on the PATH", { setting: "warmline" }, [onPath], {
  command: onPath,
  from: "setting",
});

test("a wrong setting is an error that names it, even if another command exists", async () => {
  const sources = { ...PLACES, interpreter: () => assert.fail("the interpreter was requested") };
  const exists = (file: string): boolean => file === onPath;
  const find = (setting: string): Promise<unknown> =>
    serverCommand({ ...sources, setting }, exists);
  await assert.rejects(find("/no/warmlin"), /warmline\.command: .*\/no\/warmlin does not exist$/);
  await assert.rejects(find("warmlin"), /warmlin is not on the PATH$/);
});

test("an ignored command is not used, wherever it was found", async () => {
  const found = (setting: string, ignored: string[]): Promise<unknown> =>
    serverCommand(
      { ...PLACES, setting },
      () => true,
      (command) => ignored.includes(command),
    );
  assert.deepEqual(await found("/mine", ["/mine"]), { command: beside, from: "interpreter" });
  const all = ["/mine", beside, "/empty/warmline", onPath];
  assert.equal(await found("/mine", all), undefined);
});
