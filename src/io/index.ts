// SPDX-License-Identifier: GPL-2.0-or-later
/** What the layers above use of src/io. */
export { ResourceIo } from './resource-io.ts';
export { DeviceIo } from './device-io.ts';
export { ConnectionIo } from './connection-io.ts';
export { PeerDeviceIo } from './peer-device-io.ts';
export { IO_COMMANDS } from './packet-in.ts';
export * from './env.ts';
