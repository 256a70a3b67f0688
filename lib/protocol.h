/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service and its worker say to each other: JSON objects, one a packet, over a SOCK_SEQPACKET pair
 * that the worker inherits as file descriptor 3. Every packet has "type".
 *
 *   worker                              service
 *   hello {pid, version}                (as soon as it runs; a warm spare waits here)
 *                                       job {job, mode: execute|undo, module_dir, devices: [DEVICE…],
 *                                            steps: [STEP…], observed: [TEXT|null…] (undo only),
 *                                            note: true (execute; else left out)}
 *                                       observe {devices: [DEVICE…], module_dir}
 *                                       holders {nodes: ["/dev/vfio/17"…], below?: ["/devices/pci0000:00/…"…],
 *                                                guess?: bool}
 *                                       probe {devices: [DEVICE…], module_dir, notes: {device: TEXT}}
 *                                       guard {}
 *                                       check {}
 *                                       ports {devices: [DEVICE…]}: PCI Express ports
 *                                       use {devices: [DEVICE…], providers: [ID…], module_dir}: how much of these
 *                                                providers is used; the other devices are what they made
 *   before {step, observed}             recorded durably, then
 *                                       go {step}   or   stop {}
 *   after {step, result, error, code, text, report}
 *                                       result 0 or a negative errno; error: text for people or null; code:
 *                                       the FaultCode's word or null; text: what was found then, or null;
 *                                       report: of a reset {methods: [WORD…], asked: WORD, used: WORD,
 *                                       duration: microseconds}, "" for none; else null
 *   fields {device, fields: {name: value}, blob: TEXT|null, result, error}            one for each observed device
 *   checked {checks: [{id, title, status, text, evidence: [TEXT…], remedy, reboot, pending}…]}
 *   held {holders: [{pid, comm, unit, node, certain}…], children: [{device, subsystem, name, node}…]}
 *   noted {device, text}                            before the first step, where `note` asks for it: what the
 *                                                   module's health() will compare with
 *   health {device, findings: [{severity, code, text, culprit, remedy}…], result, error}
 *                                                   one for each probed device; severity as PtSeverity
 *   evidence {items: [{verdict, path, code, chain: [text…]}…], unresolved: [{kind, text}…]}
 *                                       as many as it takes for what the host needs; worker/evidence.h has the words
 *   port {device, link, card, result}               one for each port: true, false or null for what it does not report
 *   used {device, use: {…}|null, result, error}    one for each provider; use as PtModule.use has it
 *   log {level, text}
 *   done {result, error}                after every request; error: text for people where nothing else said
 *                                       why, else null. The worker waits for the next request
 *
 * execute runs the steps in order; the first that fails ends the job (done with its result) unless it is
 * optional. undo runs them from last to first, each from its observed text, and goes on after a failure;
 * done carries the first failure. A step without observed text was never begun and is skipped by undo. In
 * both modes every step waits for its go; undo's before repeats the text that it was given. A step whose
 * observation fails sends after without before. stop ends the job with -ECANCELED.
 * `observed` is JSON in text form, by step kind:
 *   write-attribute {value}   set-driver {driver: string|null, override: string|null}
 *   node-owner {uid, gid, mode}   custom {text}   reset, wait, load-module {}
 * null stands for what cannot be read (value) or what the bus does not know (override). load-module does
 * nothing in the worker.
 * DEVICE: {id, subsystem, sysname, devtype?, driver?, iommu_group, numa_node, slot, module: file name of the
 * module's object}. The worker touches no device that is not in the list. */

#include <jansson.h>

#include "fault.h"

#define WORKER_FD 3

/* Below the root directory. A worker that carries out steps holds, until they are done or it ends, a lock (flock) on the file named as
 * each of its devices, and has written its process id into it. Who started it may be gone by then. */
#define DEVICE_LOCK_DIRECTORY "run/passthroughd/devices"

/* Sends one packet. -EINVAL for what is not an object with "type", -EMSGSIZE beyond WORKER_MESSAGE_MAX or
 * when the send buffer is too small for the packet and cannot be widened. With MSG_NOSIGNAL; blocks only as
 * the socket does. */
int message_send(int fd, json_t *message);
/* Takes one packet. 0 at the end of the stream, 1 with a message, -EAGAIN, -EBADMSG for what is larger than
 * WORKER_MESSAGE_MAX or not an object with "type". */
int message_receive(int fd, json_t **ret);
const char *message_type(json_t *message);
/* Members of a message: -EBADMSG when missing or of another type. */
int message_get_string(json_t *message, const char *key, const char **ret);
int message_get_int(json_t *message, const char *key, int64_t *ret);

#define _cleanup_json_ _cleanup_(json_decrefp)
