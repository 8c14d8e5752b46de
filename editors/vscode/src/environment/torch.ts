/** The version that the extension is tested with; the same as in the Makefile. */
export const TORCH = "torch==2.13.0";
