// The page of one device: /?user=U&device=D. Without these, a form asks for them.

import { Connection } from './connection.js';
import { Feed, clock, plural } from './feed.js';
import { MOST_ITEMS, Store } from './store.js';

const LONGEST_NAME = 64; // bytes, as the server has it
const ANNOUNCE_EVERY = 1000;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const user = query.get('user') ?? '';
const device = query.get('device') ?? '';

// What is wrong with a name, or nothing.
function fault(what, name) {
    if (name === '')
        return `The ${what} needs a name.`;
    if (new TextEncoder().encode(name).length > LONGEST_NAME)
        return `The ${what}’s name is longer than ${LONGEST_NAME} bytes.`;
    return /\p{Cc}/u.test(name) ? `The ${what}’s name has control characters in it.` : '';
}

function address(path, names) {
    return `${path}?${new URLSearchParams(names)}`;
}

function start() {
    const show = (problem) => {
        $('start-error').textContent = problem;
        $('start-error').hidden = problem === '';
    };
    const check = (event) => {
        const problem = fault('user', $('start-user').value) || fault('device', $('start-device').value);
        show(problem);
        if (problem)
            event.preventDefault();
    };
    $('start-user').value = user;
    $('start-device').value = device;
    if (query.has('user') && query.has('device'))
        show(fault('user', user) || fault('device', device));
    document.querySelector('#start form').addEventListener('submit', check);
    document.title = 'push: choose a device';
    $('start').hidden = false;
    $(user ? 'start-device' : 'start-user').focus();
}

// Tells those who do not see the page what is new, without talking all the time.
class Announcer {
    #element;
    #messages = [];
    #timer = null;

    constructor(element) {
        this.#element = element;
    }

    message(text) {
        this.#messages.push(text);
        this.#timer ??= setTimeout(() => this.#tell(), ANNOUNCE_EVERY);
    }

    say(text) {
        this.#element.textContent = text;
    }

    #tell() {
        this.#timer = null;
        const [first, ...more] = this.#messages.splice(0);
        this.say(more.length ? `${more.length + 1} new messages` : `New message: ${first.slice(0, 200)}`);
    }
}

class Inbox {
    constructor() {
        const { protocol, host } = location;
        const scheme = protocol === 'https:' ? 'wss' : 'ws';
        this.store = new Store(`push:${JSON.stringify([user, device])}`);
        this.feed = new Feed($('scroller'), $('items'));
        this.announcer = new Announcer($('announcer'));
        this.connection = new Connection(`${scheme}://${host}${address('/ws', { user, device, ack: 1 })}`,
            () => this.store.save());
        this.brokeAt = null;

        this.connection.addEventListener('state', () => this.stateChanged());
        this.connection.addEventListener('hello', ({ detail }) => this.greeted(detail));
        this.connection.addEventListener('message', ({ detail }) => this.received(detail));
        this.connection.addEventListener('acknowledged', ({ detail }) => { $('detail-acknowledged').textContent = `up to #${detail}`; });
        this.feed.addEventListener('read', () => this.showFigures());
        this.feed.addEventListener('moved', () => this.showFigures());
        addEventListener('pagehide', () => this.store.save());
        $('jump').addEventListener('click', () => this.jump());
        $('notice-button').addEventListener('click', () => this.connection.connect());
        setInterval(() => this.showCountdown(), 500);
    }

    open() {
        $('user').textContent = user;
        $('device').textContent = device;
        $('detail-acknowledged').textContent = 'nothing yet';
        $('text-label').textContent = `Message to ${user}`;
        this.offerOthers();
        $('inbox').hidden = false;
        for (const item of this.store.items)
            this.feed.add(item, MOST_ITEMS);
        this.showFigures();
        this.connection.connect();
    }

    offerOthers() {
        const other = device === 'laptop' ? 'phone' : 'laptop';
        const command = `curl -d 'hello' '${location.origin}${address('/push', { user }).replaceAll('\'', '%27')}'`;
        $('another').href = address('/', { user, device: other });
        $('another').textContent = `Open ${other}`;
        $('curl').textContent = command;
        $('copy').hidden = !navigator.clipboard; // which browsers give to safe origins only
        $('copy').addEventListener('click', async () => {
            await navigator.clipboard.writeText(command);
            this.announcer.say('Copied');
            $('copy').textContent = 'Copied';
        });
    }

    add(item) {
        this.store.add(item);
        this.feed.add(item, MOST_ITEMS);
    }

    received({ lost = 0, message }) {
        const { store } = this;
        if (lost > 0) {
            store.figures.lost += lost;
            this.add({ kind: 'lost', lost });
            this.announcer.say(`${plural(lost, 'message')} lost`);
        }
        if (store.see(message)) {
            store.figures.received++;
            this.add({ kind: 'message', read: false, ...message });
            this.announcer.message(message.text);
        } else {
            store.figures.repeats++;
        }
        this.connection.acknowledge(message);
        this.showFigures();
    }

    // The first frame of each connection: is it the mailbox that this device had before?
    greeted({ boot, resumed }) {
        const { store } = this;
        const known = store.boot !== null;
        if (known && store.boot !== boot)
            this.add({ kind: 'restarted' });
        else if (known && !resumed)
            this.add({ kind: 'expired' });
        else if (known && this.brokeAt !== null)
            this.add({ kind: 'away', from: this.brokeAt, to: Date.now() });
        if (known && this.brokeAt !== null)
            store.figures.reconnects++;
        this.brokeAt = null;
        store.boot = boot;
        $('detail-boot').textContent = boot.slice(0, 8);
        this.showFigures();
    }

    stateChanged() {
        const { name, reason, since } = this.connection.state;
        const label = { connecting: 'Connecting', live: 'Live', waiting: 'Reconnecting', ended: 'Disconnected' }[name];
        if (name === 'waiting' || name === 'ended')
            this.brokeAt ??= since;
        $('state').textContent = label;
        $('state').dataset.state = name;
        $('detail-state').textContent = label;
        $('detail-since').textContent = clock(since);
        if ((name !== 'connecting' || this.brokeAt === null) && label !== this.told)
            this.announcer.say(this.told = label);
        this.showNotice(name, reason);
        this.showTitle();
    }

    // While it tries, the notice stays as it was, so that the button does not vanish under the finger.
    showNotice(name, reason) {
        if (name === 'connecting')
            return;
        $('notice').hidden = name === 'live';
        $('notice').dataset.state = name;
        $('notice-button').textContent = name === 'ended' ? 'Connect here' : 'Try now';
        if (name === 'ended')
            $('notice-text').textContent = reason === 'deleted' ? 'The server removed this device.'
                : 'This device was opened in another place, which has its messages now.';
        this.why = reason ? `The server closed the connection: ${reason}.` : 'The connection broke.';
        this.showCountdown();
    }

    showCountdown() {
        const { name, retryAt } = this.connection.state;
        if (name === 'connecting' && !$('notice').hidden)
            $('notice-text').textContent = 'Connecting…';
        if (name !== 'waiting')
            return;
        const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
        const why = navigator.onLine ? this.why : 'There is no network.';
        $('notice-text').textContent = `${why} Next try in ${plural(seconds, 'second')}.`;
    }

    showFigures() {
        const { figures, unread, items } = this.store;
        for (const name of ['received', 'lost', 'repeats'])
            $(name).textContent = figures[name];
        $('unread').textContent = unread;
        $('detail-reconnects').textContent = plural(figures.reconnects, 'time');
        $('empty').hidden = items.length > 0;
        $('older').hidden = figures.older === 0;
        $('older').textContent = `${plural(figures.older, 'older message is', 'older messages are')} no longer shown`;
        $('jump').hidden = this.feed.atEnd;
        $('jump').textContent = unread > 0 ? `${unread} unread ↓` : 'Newest ↓';
        this.showTitle();
    }

    showTitle() {
        const { unread } = this.store;
        const trouble = { waiting: '⚠ ', ended: '⚠ ' }[this.connection.state.name] ?? '';
        document.title = `${trouble}${unread ? `(${unread}) ` : ''}${user} · ${device}`;
    }

    jump() {
        this.feed.scrollToEnd();
        this.showFigures();
        $('scroller').focus();
    }
}

// The box that pushes to the user: what curl does from a terminal.
class Composer {
    constructor() {
        const text = $('text');
        $('composer').addEventListener('submit', (event) => {
            event.preventDefault();
            this.send();
        });
        text.addEventListener('input', () => this.fit());
        text.addEventListener('keydown', (event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing)
                return;
            event.preventDefault();
            $('composer').requestSubmit();
        });
    }

    // As high as the text, up to what the style sheet allows.
    fit() {
        const { style, offsetHeight, clientHeight } = $('text');
        style.height = 'auto';
        style.height = `${$('text').scrollHeight + offsetHeight - clientHeight}px`;
    }

    async send() {
        $('send').disabled = true;
        this.report('', '');
        try {
            const response = await this.push($('text').value);
            const answer = await response.json();
            if (response.ok)
                this.sent(answer);
            else
                this.refused(response.status, answer.error);
        } catch {
            this.report('bad', 'The server did not answer. Your text is still here.');
        } finally {
            $('send').disabled = false;
        }
    }

    push(text) {
        const token = $('token').value;
        return fetch(address('/push', { user, ...($('except').checked && { except: device }) }), {
            method: 'POST',
            body: text,
            headers: { 'Content-Type': 'text/plain; charset=utf-8', ...(token && { Authorization: `Bearer ${token}` }) },
        });
    }

    // "published" tells of the other servers of a cluster; a server that is alone does not say it.
    sent({ delivered, dropped, disconnected, published }) {
        const full = [dropped && `${plural(dropped, 'device')} lost a message for it`,
            disconnected && `${plural(disconnected, 'device')} too slow, disconnected`,
            published === true && 'published to the other servers',
            published === false && 'not published to the other servers now'].filter(Boolean);
        $('text').value = '';
        this.fit();
        this.report('', [delivered ? `Delivered to ${plural(delivered, 'device')}` : 'No device is there to take it',
            ...full].join('; '));
    }

    refused(status, error) {
        if (status === 401) {
            $('token-field').hidden = false;
            $('token').focus();
        }
        this.report('bad', status === 401 ? 'This server wants a token with a push.' : `Not sent: ${error}.`);
    }

    report(kind, text) {
        $('outcome').dataset.kind = kind;
        $('outcome').textContent = text;
    }
}

function foldDetails() {
    $('details-button').addEventListener('click', () => {
        const open = $('details').classList.toggle('open');
        $('details-button').setAttribute('aria-expanded', String(open));
    });
    $('details').addEventListener('keydown', (event) => {
        if (event.key !== 'Escape' || !$('details').classList.contains('open'))
            return;
        $('details-button').click();
        $('details-button').focus();
    });
}

if (fault('user', user) || fault('device', device)) {
    start();
} else {
    foldDetails();
    new Composer();
    new Inbox().open();
}
