import assert from "node:assert/strict";
import { test } from "node:test";
import { serverCommand, type Places } from "../src/server_command";

const PLACES: Places = {
  setting: "",
  interpreter: "/project/.venv/bin/python",
  searchPath: "/empty:/usr/bin",
  isWindows: false,
};

function check(name: string, places: Partial<Places>, files: string[], expected: unknown): void {
  test(name, () => {
    const found = serverCommand({ ...PLACES, ...places }, (file) => files.includes(String(file)));
    assert.deepEqual(found, expected);
  });
}

const beside = "/project/.venv/bin/warmline";
const onPath = "/usr/bin/warmline";
check("the setting comes first", { setting: "/mine" }, [beside, onPath], {
  command: "/mine",
  from: "setting",
});
check("then the interpreter", {}, [beside, onPath], { command: beside, from: "interpreter" });
check("then the path", {}, [onPath], { command: onPath, from: "path" });
check("no interpreter is no matter", { interpreter: undefined }, [beside, onPath], {
  command: onPath,
  from: "path",
});
check("nothing is said where there is nothing", {}, [], undefined);
check(
  "an empty entry of the path is not the folder we are in",
  { searchPath: ":" },
  ["warmline"],
  undefined,
);
