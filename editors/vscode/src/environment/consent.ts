import type { Build } from "./pip";

/** How much is to be fetched, and whether it is more than this machine needs. */
export interface Ahead {
  size: Build;
  isMoreThanNeeded: boolean;
}

export const MAKE = "Install";
export const SMALLER = "Use a smaller download";
export const NEVER = "Don't ask again";

/** The setting that makes it smaller. */
export const CPU_INDEX = "warmline.environment.cpuIndex";

const SIZES: Record<Build, string> = {
  cpu: "downloads about 0.3 GB and needs 2 GB of disk space",
  cuda: "downloads about 3 GB and needs 9 GB of disk space",
};

export interface Question {
  text: string;
  buttons: string[];
}

/** What the user is asked before much is fetched; `isUpdate`: there is an environment, and its torch is too old. */
export function question({ size, isMoreThanNeeded }: Ahead, isUpdate: boolean): Question {
  const what = isUpdate
    ? "This version of Warmline needs another version of torch. Install it into the extension's environment?"
    : "Warmline needs a Python environment. Create one in the extension's storage?";
  const cost = isMoreThanNeeded
    ? `On Linux, pip's default build of torch is for GPUs: it ${SIZES.cuda}. This machine has no such GPU. ` +
      `The CPU build ${SIZES.cpu}; to use it, set ${CPU_INDEX} to an index that has it.`
    : `This takes a few minutes: it ${SIZES[size]}.`;
  const buttons = isMoreThanNeeded ? [MAKE, SMALLER, NEVER] : [MAKE, NEVER];
  return { text: `${what} ${cost}`, buttons };
}

/** What the user is asked once the setting is shown. */
export const ONCE_SET: Question = {
  text: `Set ${CPU_INDEX} to the URL of an index with the CPU build of torch. Then choose Install.`,
  buttons: [MAKE, NEVER],
};

/** Whether a file is one that the model will complete, as far as is known before the server runs. */
export function isServed(
  language: string,
  languages: Readonly<Record<string, boolean>>,
  model: string,
): boolean {
  // the models that come with Warmline know Python only
  return languages[language] ?? (!["small", "base"].includes(model) || language === "python");
}
