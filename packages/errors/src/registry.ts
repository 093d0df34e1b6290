/**
 * Every code that a `HoldfastError` may carry, with one sentence on when. `docs/errors.md` lists the same codes;
 * a test compares the two both ways. The API layer maps codes to HTTP statuses.
 */
export const errorCodes = {
  HF_BAD_REQUEST: 'A request or an argument is malformed; `details.field` names the part.',
  HF_INVALID_CONFIG: 'A configuration is invalid; `details.path` is the JSON path of the bad field.',
  HF_UNSUPPORTED: 'Known, and not supported; `details.field` names it.',
  HF_NOT_IMPLEMENTED: 'Part of the Docker API, and not built yet.',
  HF_FORBIDDEN: 'The caller may not do this.',
  HF_NO_ROOT: 'Root rights are missing.',
  HF_CONTAINER_NOT_FOUND: 'No container has this name or id.',
  HF_CONTAINER_NOT_RUNNING: 'The container must be running for this.',
  HF_CONTAINER_RUNNING: 'The container must not be running for this.',
  HF_CONTAINER_PAUSED: 'The container is paused.',
  HF_CONTAINER_STATE: 'The container is not in a state that allows this.',
  HF_NAME_IN_USE: 'Another container has this name.',
  HF_EXEC_NOT_FOUND: 'No exec instance has this id.',
  HF_COMMAND_NOT_FOUND: "The container's command does not exist (exit code 127).",
  HF_COMMAND_NOT_EXECUTABLE: "The container's command cannot be executed (exit code 126).",
  HF_IMAGE_NOT_FOUND: 'No image has this name or id.',
  HF_IMAGE_IN_USE: 'A container or a tag uses this image.',
  HF_INVALID_REFERENCE: 'An image reference is malformed.',
  HF_DIGEST_MISMATCH: 'Content does not match its digest; `details` has `expected` and `actual`.',
  HF_CORRUPT_LAYER: 'A layer or an archive is malformed or hostile.',
  HF_PORT_IN_USE: 'A host port is taken; `details.holder` says by whom where that can be known.',
  HF_ADDRESS_IN_USE: "An address that was asked for is somebody else's; `details.holder` says whose.",
  HF_ADDRESS_POOL_EXHAUSTED: 'No free address is left in a network.',
  HF_NETWORK_NOT_FOUND: 'No network has this name or id.',
  HF_NAMESPACE_NOT_FOUND: 'No such namespace.',
  HF_NETWORK_FAILED: 'Setting up or taking down a network failed.',
  HF_VOLUME_NOT_FOUND: 'No volume has this name.',
  HF_VOLUME_IN_USE: 'A container uses this volume.',
  HF_ID_RANGE_EXHAUSTED: 'No free range of user ids is left.',
  HF_START_FAILED: 'A container could not be started; `details.step` names the step.',
  HF_SHIM_LOST: 'A shim is gone or does not answer.',
  HF_PROTOCOL: 'The other side of a protocol broke it.',
  HF_STORE_LOCKED: 'Another process has this data directory open.',
  HF_DISK_FULL: 'A file system is full.',
  HF_TIMEOUT: 'Something did not happen in time.',
  HF_INTERNAL: 'A defect in Holdfast.',
} as const satisfies Record<`HF_${string}`, string>

/** A code of the registry: `HF_…`. */
export type ErrorCode = keyof typeof errorCodes
