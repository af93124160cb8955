// The WebSocket of one device. It connects again when it broke, with exponential back-off and jitter, and acknowledges
// in batches. Events: "state" when this.state changed, and "hello" and "message" with what the server sent as detail.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;
const HELLO_TIMEOUT = 10_000;
const STABLE = 5_000; // a connection that lasted this long ends the back-off
const BATCH = 16; // well below the server's window, which pauses a device that does not acknowledge
const BATCH_DELAY = 100;

// After these the server does not want this connection back; the user decides.
const FINAL = new Map([[4000, 'taken over'], [4002, 'deleted']]);

export class Connection extends EventTarget {
    // name: connecting, live, waiting (until retryAt), ended (with a reason).
    state = { name: 'connecting', since: Date.now() };

    #url;
    #keep;
    #socket = null;
    #timer;
    #failures = 0;
    #ack = null; // { message, count, timer } of what is yet to be acknowledged

    // keep() is called before an acknowledgement leaves, which lets the server forget: what was received must be where
    // it survives a reload.
    constructor(url, keep) {
        super();
        this.#url = url;
        this.#keep = keep;
        addEventListener('online', () => this.#hasten());
        addEventListener('offline', () => this.#socket && this.#lost());
        document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#hasten());
        addEventListener('pagehide', () => this.#flush());
        addEventListener('pageshow', (event) => event.persisted && this.connect());
    }

    connect() {
        this.#drop();
        this.#enter({ name: 'connecting' });
        const socket = new WebSocket(this.#url);
        this.#socket = socket;
        this.#timer = setTimeout(() => this.#lost(), HELLO_TIMEOUT);
        socket.onmessage = (event) => this.#receive(event.data);
        socket.onclose = (event) => this.#lost(event);
    }

    // Says that the message has been dealt with. That one and all before it are acknowledged soon.
    acknowledge(message) {
        this.#ack ??= { count: 0, timer: setTimeout(() => this.#flush(), BATCH_DELAY) };
        this.#ack.message = message;
        if (++this.#ack.count >= BATCH)
            this.#flush();
    }

    #receive(data) {
        const frame = JSON.parse(data);
        if (frame.type === 'hello') {
            clearTimeout(this.#timer);
            this.#enter({ name: 'live' });
        }
        this.dispatchEvent(new CustomEvent(frame.type, { detail: frame }));
    }

    #flush() {
        if (!this.#ack)
            return;
        const { message: { id, boot }, timer } = this.#ack;
        clearTimeout(timer);
        this.#ack = null;
        this.#keep();
        if (this.#socket?.readyState !== WebSocket.OPEN)
            return; // what the server did not hear of comes again, and is known then
        this.#socket.send(JSON.stringify({ ack: id, boot }));
        this.dispatchEvent(new CustomEvent('acknowledged', { detail: id }));
    }

    // The connection broke, or the network is gone, of which the socket itself would learn only much later.
    #lost(event = {}) {
        const { name, since } = this.state;
        const lasted = name === 'live' ? Date.now() - since : 0;
        this.#drop();
        if (FINAL.has(event.code)) {
            this.#enter({ name: 'ended', reason: FINAL.get(event.code) });
            return;
        }
        if (lasted >= STABLE)
            this.#failures = 0;
        const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
        const delay = longest * (0.5 + Math.random() / 2);
        this.#timer = setTimeout(() => this.connect(), delay);
        this.#enter({ name: 'waiting', retryAt: Date.now() + delay, reason: event.reason });
    }

    #hasten() {
        if (this.state.name === 'waiting')
            this.connect();
    }

    #drop() {
        clearTimeout(this.#timer);
        if (!this.#socket)
            return;
        this.#socket.onmessage = null;
        this.#socket.onclose = null;
        this.#socket.close();
        this.#socket = null;
    }

    #enter(state) {
        this.state = { since: Date.now(), ...state };
        this.dispatchEvent(new Event('state'));
    }
}
