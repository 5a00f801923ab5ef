import { EventEmitter } from 'node:events'
import { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Where the members are kept. Without any of it: COMRADE_STORE, or the embedded store. */
export interface Place {
  /** `sqlite:PATH`, `postgres://…`, `datastore://PROJECT`, `memory:` */
  store?: string
  /** A `Datastore` of @google-cloud/datastore, a dataset of gcloud, or another store's URL. */
  googleDataset?: object | string
  googleDatasetNamespace?: string
  /** Default: `ComradeServer`. */
  googleDatasetKind?: string
  /** The same as googleDatasetNamespace and googleDatasetKind, for every store. */
  namespace?: string
  kind?: string
  /** Milliseconds between two heartbeats; default 10,000. */
  heartbeat?: number
  /** Milliseconds that one call to the store may take; default 5,000. */
  callTimeout?: number
  /** Milliseconds; members whose event loop was blocked for longer do not heartbeat. Default 30,000; 0: no limit. */
  blockedLimit?: number
}

export type Metadata = Record<string, any>

export interface MemberData {
  id: string
  role: string
  /** Has not begun to shut down. */
  alive: boolean
  /** Milliseconds since 1970, by the store's clock, as the other times. */
  created: number
  updated: number
  /** When it was asked to shut down; absent until then. */
  shutdownDate?: number
  /** Absent when empty. */
  metadata?: Metadata
  healthy: boolean
  stale: boolean
}

export interface DetailedMemberData extends MemberData {
  state: 'starting' | 'up' | 'unhealthy' | 'draining' | 'stopping' | 'stopped' | 'backoff'
  available: boolean
  host: string
  pid: number
  version: string
  incarnation: number
  request?: { id: string, by: string, reason: string, requested: number }
}

/** What an administrator asked of a member. */
export interface ShutdownRequest {
  id: string
  user: string
  host: string
  reason: string
  /** Milliseconds since 1970, by the store's clock. */
  requested: number
  databaseUser?: string
}

/** An error of the store or of a call; `code` is one of the library's, such as NOT_FOUND. */
export interface ComradeError extends Error {
  code: string
}

export type Callback<T = void> = [T] extends [void]
  ? (error: ComradeError | null) => void
  : (error: ComradeError | null, value: T) => void

export interface MemberOptions extends Place {
  role: string
  /** Default: a UUID. */
  id?: string
  metadata?: Metadata
  /** Milliseconds from a request that nobody listens for to the exit; default 60,000. */
  exitDelay?: number
}

export interface MemberEvents {
  registered: []
  shutdown: [request: ShutdownRequest]
  restart: [request: ShutdownRequest]
  error: [error: ComradeError]
  lost: []
  restored: []
  fenced: []
  zombified: []
}

export class Member extends EventEmitter {
  constructor(options: MemberOptions)
  readonly id: string
  readonly role: string
  metadata?: Metadata
  alive: boolean
  created: number
  updated?: number
  shutdownDate?: number
  started?: boolean
  /** Resolves when others can see it. Need not be waited for. */
  start(): Promise<void>
  stop(): void
  fetch(): Promise<MemberData | undefined>
  fetch(callback: Callback<MemberData | undefined>): void
  save(): Promise<void>
  save(callback: Callback): void
  update(): Promise<void>
  update(callback: Callback): void
  reportDead(): Promise<void>
  reportDead(callback: Callback): void

  on<E extends keyof MemberEvents>(event: E, listener: (...values: MemberEvents[E]) => void): this
  on(event: string | symbol, listener: (...values: any[]) => void): this
  once<E extends keyof MemberEvents>(event: E, listener: (...values: MemberEvents[E]) => void): this
  once(event: string | symbol, listener: (...values: any[]) => void): this
}

export interface Query {
  role?: string
  alive?: boolean
  healthy?: boolean
  stale?: boolean
  available?: boolean
  /** A field (id, role, state, host, pid, version), or else a key of the metadata, and its value. */
  where?: Record<string, string | number | boolean>
}

export interface RequestOptions {
  /** Recorded, and told to the member. */
  reason?: string
  /** Recorded; default: the operating system's user. */
  user?: string
}

export interface KillOptions extends RequestOptions {
  /** Refuse what would take the role below its minimum. */
  budgeted?: boolean
  /** `id` may be a unique prefix. */
  prefix?: boolean
}

export interface KillOldestOptions extends Query, RequestOptions {
  role: string
  /** REFUSED and NOT_FOUND are errors; else they come to null. */
  strict?: boolean
}

export interface RollingKillOptions extends Query, RequestOptions {
  role: string
  /** Milliseconds between two kills; default 10,000. */
  interval?: number
}

export interface RoleOptions {
  /** Default 1; 0 is allowed. */
  minMembers?: number
}

export interface Role {
  role: string
  /** null: nobody set one. */
  minMembers: number | null
  available: number
}

/** Answers by the callback; one that does not take it answers by what it returns, or by a promise of that. */
export type HealthCheck = (memberData: MemberData, callback: (isHealthy: boolean) => void) => unknown

export interface ClientOptions extends Place {
  healthCheck?: HealthCheck
  /** Milliseconds after which a check that has not answered says unhealthy; default 2,000. */
  healthCheckTimeout?: number
  /** How many checks run at once; default 32. */
  healthCheckConcurrency?: number
  roles?: Record<string, RoleOptions>
}

export class Client {
  constructor(options?: ClientOptions)
  roles: Record<string, RoleOptions>
  createMember(options: Omit<MemberOptions, keyof Place>): Member
  getMembers(options: Query & { details: true }): Promise<DetailedMemberData[]>
  getMembers(options?: Query): Promise<MemberData[]>
  getMembers(callback: Callback<MemberData[]>): void
  getMembers(options: Query, callback: Callback<MemberData[]>): void
  killMember(id: string, options?: KillOptions): Promise<MemberData>
  killMember(id: string, callback: Callback<MemberData>): void
  killMember(id: string, options: KillOptions, callback: Callback<MemberData>): void
  /** The member leaves and comes back, by its agent; in a process it is the event `restart`. */
  restartMember(id: string, options?: KillOptions): Promise<MemberData>
  restartMember(id: string, callback: Callback<MemberData>): void
  restartMember(id: string, options: KillOptions, callback: Callback<MemberData>): void
  /** The member that was asked, or null: the role is at its minimum, or nobody matches. */
  killOldestMember(options: KillOldestOptions): Promise<MemberData | null>
  killOldestMember(options: KillOldestOptions, callback: Callback<MemberData | null>): void
  /** The members noted. */
  rollingKill(options: RollingKillOptions): Promise<MemberData[]>
  rollingKill(options: RollingKillOptions, callback: Callback<MemberData[]>): void
  /** The members deleted. */
  clearStaleMembers(): Promise<MemberData[]>
  clearStaleMembers(callback: Callback<MemberData[]>): void
  zombifyMember(id: string, options?: KillOptions): Promise<MemberData>
  zombifyMember(id: string, callback: Callback<MemberData>): void
  zombifyMember(id: string, options: KillOptions, callback: Callback<MemberData>): void
  getRole(role: string): Promise<Role>
  getRole(role: string, callback: Callback<Role>): void
  /** Holds for everybody; minMembers null: nobody says anything again. */
  setRole(role: string, options: { minMembers: number | null }): Promise<void>
  setRole(role: string, options: { minMembers: number | null }, callback: Callback): void
  watch(options?: Query): Watch
}

/** Emits `change` (members), `error`, `close`; and iterates over the newest sets. */
export class Watch extends EventEmitter implements AsyncIterableIterator<MemberData[]> {
  private constructor()
  readonly members?: MemberData[]
  close(): void
  next(): Promise<IteratorResult<MemberData[], undefined>>
  return(value?: undefined): Promise<IteratorResult<MemberData[], undefined>>
  [Symbol.asyncIterator](): this
}

export class CLI {
  constructor(options: { client: Client, input?: NodeJS.ReadableStream, output?: NodeJS.WritableStream })
  /** Resolves at the end of the input. */
  start(): Promise<void>
}

export interface GracefulOptions {
  /** Milliseconds from the request until no new connection is taken; default 5,000. */
  delay?: number
  /** Milliseconds until connections that are still open are cut; default 30,000. */
  timeout?: number
  /** Signals that are to mean the same as a request. */
  signals?: NodeJS.Signals[]
}

/** Resolves when the server is closed and the member has stopped. */
export function gracefulShutdown(server: Server | { server: Server }, member: Member,
  options?: GracefulOptions): Promise<void>

/** Answers /comrade_health_check with the member's id; returns whether the request was for it. */
export function healthHandler(member: Member, options?: { path?: string }):
  (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => boolean

export const version: string
