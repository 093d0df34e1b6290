import { HoldfastError, SyscallError } from '@holdfast/errors'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { splitVersion } from './api-version.ts'
import { errorAnswer } from './error-answer.ts'
import { RequestCall } from './request-call.ts'
import type { Service, Target } from './routed-call.ts'
import { checkQuery, checkRequest, toOriginForm } from './request-rules.ts'
import type { Route } from './route.ts'
import { cleanedPath, Router } from './router.ts'
import { UpgradeCall } from './upgrade-call.ts'

const noTarget: Target = { api: 0, params: {}, query: new URLSearchParams() }

/** From a parsed request to its route's handler, and from what that throws to an answer. */
export class Dispatcher {
  readonly #service: Service
  readonly #router: Router

  constructor(service: Service, routes: readonly Route[]) {
    this.#service = service
    this.#router = new Router(routes)
  }

  /** Whether the connection is to be handed over. Other requests with an Upgrade header are answered as if without. */
  isUpgrade(request: IncomingMessage): boolean {
    const protocol = request.headers.upgrade?.toLowerCase()
    if (protocol !== 'tcp' && protocol !== 'websocket') return false
    toOriginForm(request)
    try {
      const { route } = this.#resolve(request)
      return protocol === 'tcp' ? route.hijacks === true : route.webSocket === true
    } catch {
      return false // the request handler meets the same error, and answers it
    }
  }

  /** Returns the call when it may take the connection over. */
  request(request: IncomingMessage, response: ServerResponse): RequestCall | undefined {
    let resolved: Resolved
    toOriginForm(request)
    try {
      checkRequest(request)
      const location = cleanedLocation(request.url ?? '/')
      if (location !== undefined) {
        const call = new RequestCall(this.#service, noTarget, request, response)
        call.sendText(301, `<a href="${encodeURI(location)}">Moved Permanently</a>.\n`, {
          Location: location,
        })
        return undefined
      }
      if (request.method === 'OPTIONS') {
        new RequestCall(this.#service, noTarget, request, response).empty(200)
        return undefined
      }
      resolved = this.#resolve(request)
    } catch (error) {
      this.#fail(new RequestCall(this.#service, noTarget, request, response), error, request)
      return undefined
    }
    const call = new RequestCall(this.#service, resolved.target, request, response)
    if (resolved.route.hijacks) call.outliveInput()
    void this.#run(resolved.route, call, request)
    return resolved.route.hijacks ? call : undefined
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener a reset by the client would end the process.
    socket.on('error', () => socket.destroy())
    const connection = { request, socket, head }
    let resolved: Resolved
    try {
      checkRequest(request)
      resolved = this.#resolve(request)
    } catch (error) {
      this.#fail(new UpgradeCall(this.#service, noTarget, connection), error, request)
      return
    }
    void this.#run(resolved.route, new UpgradeCall(this.#service, resolved.target, connection), request)
  }

  #resolve(request: IncomingMessage): Resolved {
    const url = request.url ?? '/'
    const mark = url.indexOf('?')
    const { minor, path } = splitVersion(mark < 0 ? url : url.slice(0, mark))
    const match = this.#router.find(request.method ?? 'GET', path, minor)
    if (!match) throw pageNotFound
    const query = mark < 0 ? '' : url.slice(mark + 1)
    checkQuery(query)
    const target = { api: minor, params: match.params, query: new URLSearchParams(query) }
    return { route: match.route, target }
  }

  async #run(route: Route, call: RequestCall | UpgradeCall, request: IncomingMessage): Promise<void> {
    try {
      await route.handle(call)
    } catch (error) {
      this.#fail(call, error, request)
    }
  }

  #fail(call: RequestCall | UpgradeCall, error: unknown, request: IncomingMessage): void {
    const context = { err: error, method: request.method, url: request.url }
    if (!(error instanceof HoldfastError || error instanceof SyscallError)) {
      this.#service.logger.error(context, 'a request failed in an unforeseen way')
    }
    if (call.begun) {
      this.#service.logger.debug(context, 'an answer broke off')
      call.breakOff()
      return
    }
    if (error === pageNotFound) {
      call.send(404, { message: pageNotFound.message })
      return
    }
    const { status, body } = errorAnswer(error)
    call.send(status, body)
  }
}

interface Resolved {
  route: Route
  target: Target
}

const pageNotFound = new HoldfastError('HF_BAD_REQUEST', 'page not found')

/** Where a path with `//` or dots in it should have gone, as Go's router answers it. */
function cleanedLocation(url: string): string | undefined {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const cleaned = cleanedPath(path)
  return cleaned === undefined ? undefined : cleaned + (mark < 0 ? '' : url.slice(mark))
}
