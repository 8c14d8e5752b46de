import { statSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { rootCertificates } from "node:tls";

/** What VS Code knows of the way to the network. */
export interface Network {
  /** `http.proxy`; empty where there is none, or where it is not to be used. */
  proxy: string;
  /** `http.noProxy` */
  noProxy: readonly string[];
  /** A file of all certificates to trust; undefined: what a program trusts by itself. */
  certificates: string | undefined;
}

const BUNDLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"];

/** The environment of the programs that we start: the user's, with VS Code's proxy and certificates. */
export function programEnvironment(env: NodeJS.ProcessEnv, network: Network): NodeJS.ProcessEnv {
  const made = { ...env };
  if (network.proxy !== "") {
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY"]) {
      made[name] = made[name.toLowerCase()] = network.proxy;
    }
    const said = env["NO_PROXY"] ?? env["no_proxy"];
    const noProxy = said ?? network.noProxy.join(",");
    if (noProxy !== "") made["NO_PROXY"] = made["no_proxy"] = noProxy;
  }
  const bundle = bundleIn(env) ?? network.certificates;
  if (bundle !== undefined) {
    const unset = BUNDLES.filter((name) => (made[name] ?? "") === "");
    for (const name of unset) made[name] = bundle;
  }
  return made;
}

/**
 * A file of node's own certificates and those of NODE_EXTRA_CA_CERTS; undefined where the latter names none.
 *
 * Python's programs take a file in place of what they trust, where node takes it beside.
 */
export async function certificatesFor(
  env: NodeJS.ProcessEnv,
  folder: string,
): Promise<string | undefined> {
  const extra = env["NODE_EXTRA_CA_CERTS"] ?? "";
  if (extra === "" || bundleIn(env) !== undefined) return undefined;
  try {
    const all = [...rootCertificates, await readFile(extra, "utf8")].join("\n");
    const file = path.join(folder, "certificates.pem");
    await mkdir(folder, { recursive: true });
    await writeFile(`${file}.${process.pid}`, all);
    await rename(`${file}.${process.pid}`, file);
    return file;
  } catch {
    // node itself goes on without a file that cannot be read
    return undefined;
  }
}

/** The file that the user named for Python's programs, where it is there. */
function bundleIn(env: NodeJS.ProcessEnv): string | undefined {
  return ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
    .map((name) => env[name] ?? "")
    .find((file) => file !== "" && statSync(file, { throwIfNoEntry: false })?.isFile());
}
