import assert from "node:assert/strict";
import { test } from "node:test";
import {
  installArguments,
  maskCredentials,
  pipEnvironment,
  progress,
  sizeOf,
  torchBuild,
  type Build,
  type Sources,
} from "../src/environment/pip";
import { candidates, findPython } from "../src/environment/python";
import { FakeMachine, SOURCES } from "./fake_machine";

const CPU = "https://mirror.test/cpu";
const BARE = ["-m", "pip", "install", "--only-binary", ":all:", "--retries", "2", "--progress-bar"];

function installs(
  name: string,
  sources: Partial<Sources>,
  expected: string[],
  build?: "cpu" | "cuda",
): void {
  test(name, () => {
    const args = installArguments({ ...SOURCES, ...sources }, ["torch"], build, "24.1");
    assert.deepEqual(args, [...BARE, "raw", ...expected, "torch"]);
  });
}

installs("pip's own index is the default", {}, [], "cpu");
installs("the CPU index is for the CPU", { cpuIndex: CPU }, ["--index-url", CPU], "cpu");
installs("the CPU index is not for a GPU", { cpuIndex: CPU }, [], "cuda");
installs("the CPU index is not for other packages", { cpuIndex: CPU }, []);
installs(
  "a folder of wheels is the only source",
  { cpuIndex: CPU, wheelFolder: "/wheels" },
  ["--no-index", "--find-links", "/wheels"],
  "cpu",
);
installs("the user's arguments are added", { pipArguments: ["--cert", "/ca.pem"] }, [
  "--cert",
  "/ca.pem",
]);
installs(
  "without strict TLS, the configured hosts are trusted",
  { isStrict: false, pipArguments: ["--index-url=https://mirror.test:8443/simple"] },
  ["--trusted-host", "mirror.test:8443", "--index-url=https://mirror.test:8443/simple"],
);
installs("the default index is always verified", { isStrict: false }, []);

test("an old pip cannot print byte counts", () => {
  assert.equal(installArguments(SOURCES, [], undefined, "23.2.1").at(-1), "off");
  assert.equal(installArguments(SOURCES, [], undefined, "24.0").at(-1), "off");
  assert.equal(installArguments(SOURCES, [], undefined, "25.0").at(-1), "raw");
});

test("variables that redirect pip are removed", () => {
  const before = { PATH: "/bin", PIP_TARGET: "/x", PIP_CERT: "/ca" };
  const env = pipEnvironment(before, "/tmp/own");
  assert.equal(env["PIP_TARGET"], undefined);
  assert.equal(env["PIP_CERT"], "/ca");
  assert.equal(env["TMPDIR"], "/tmp/own");
  assert.equal(before.PIP_TARGET, "/x");
});

test("the download is small outside of Linux and with a CPU index", () => {
  const size = (sources: Partial<Sources>, env = {}, build: Build = "cpu", isLinux = true): Build =>
    sizeOf(build, { ...SOURCES, ...sources }, isLinux, env);
  assert.equal(size({}), "cuda");
  assert.equal(size({}, {}, "cuda", false), "cpu");
  assert.equal(size({ cpuIndex: CPU }), "cpu");
  assert.equal(size({ cpuIndex: CPU }, {}, "cuda"), "cuda");
  assert.equal(size({ wheelFolder: "/wheels" }), "cpu");
  assert.equal(size({ pipArguments: ["--index-url=https://mirror.test"] }), "cpu");
  assert.equal(size({ pipArguments: ["--cert", "/ca.pem"] }), "cuda");
  assert.equal(size({}, { PIP_INDEX_URL: "https://mirror.test" }), "cpu");
});

test("progress is read from pip's output", () => {
  assert.deepEqual(progress("Progress 10 of 40"), { share: 0.25 });
  assert.deepEqual(
    progress("  Downloading https://a.test/b/torch-2.13.0%2Bcpu-cp311.whl (190.5 MB)"),
    {
      message: "downloading torch (190.5 MB)",
    },
  );
  assert.deepEqual(progress("Installing collected packages: torch"), { message: "unpacking" });
  assert.equal(progress("  Downloading pygls-2.1.1-py3-none-any.whl.metadata (3 kB)"), undefined);
  assert.equal(progress("Progress 10 of 0"), undefined);
  assert.equal(progress("Collecting torch"), undefined);
});

test("no password is logged", () => {
  assert.equal(
    maskCredentials("Looking in https://me:secret@a.test/simple"),
    "Looking in https://****@a.test/simple",
  );
  assert.equal(maskCredentials("see https://a.test/@scope"), "see https://a.test/@scope");
});

test("the oldest Python that will do is taken", async () => {
  const fake = new FakeMachine();
  fake.python("python3", [3, 10]);
  fake.python("python3.12", [3, 12], false);
  fake.python("python3.13", [3, 13]);
  const options = { env: fake.machine.env, signal: new AbortController().signal };
  const found = await findPython(fake.machine.run, "", false, true, options);
  assert.equal(found.version, "3.13");
  assert.match(found.executable, /python3\.13$/);
});

test("Windows uses its launcher, and a setting is the only candidate", () => {
  assert.deepEqual(candidates("", true)[0], ["py", "-3.11"]);
  assert.deepEqual(candidates("", true).at(-1), ["python3"]);
  assert.deepEqual(candidates("/mine", true), [["/mine"]]);
});

function builds(name: string, device: string, smi: string | undefined, expected: string): void {
  test(name, async () => {
    const fake = new FakeMachine();
    if (smi !== undefined) fake.program("nvidia-smi", smi);
    const options = { env: fake.machine.env, signal: new AbortController().signal };
    assert.equal(await torchBuild(fake.machine.run, device, options), expected);
  });
}

builds("no driver is a CPU", "auto", undefined, "cpu");
builds("a GPU that answers is one", "auto", 'echo "GPU 0: NVIDIA H100 (UUID: GPU-1)"', "cuda");
builds("a driver without a GPU is a CPU", "auto", 'echo "No devices were found"', "cpu");
builds("a driver that fails is a CPU", "auto", 'echo "GPU 0: x"; exit 9', "cpu");
builds("the setting decides", "cpu", 'echo "GPU 0: NVIDIA H100 (UUID: GPU-1)"', "cpu");
