// The list of messages, and of what befell them. Whatever the server sent becomes text, never markup.

const LONG_CHARACTERS = 1200;
const LONG_LINES = 14;

const number = new Intl.NumberFormat('en');
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export const plural = (count, one, many = `${one}s`) => `${number.format(count)} ${count === 1 ? one : many}`;
export const clock = (time) =>
    (new Date(time).toDateString() === new Date().toDateString() ? timeOfDay : dateAndTime).format(time);

function element(name, className, text) {
    const made = document.createElement(name);
    if (className)
        made.className = className;
    if (text !== undefined)
        made.textContent = text;
    return made;
}

const isLong = (text) => text.length > LONG_CHARACTERS || text.split('\n', LONG_LINES + 1).length > LONG_LINES;

// Shows all of a long text, or its beginning.
function unfoldButton(text) {
    const button = element('button', 'unfold quiet', 'Show all');
    button.type = 'button';
    button.setAttribute('aria-expanded', 'false');
    button.addEventListener('click', () => {
        const folded = text.classList.toggle('folded');
        button.textContent = folded ? 'Show all' : 'Show less';
        button.setAttribute('aria-expanded', String(!folded));
    });
    return button;
}

function messageRow({ id, time, text }) {
    const row = element('li', 'message');
    const meta = element('p', 'meta number');
    const when = element('time', '', clock(time));
    when.dateTime = new Date(time).toISOString();
    meta.append(when, element('span', 'id', `#${id}`));
    const body = element('p', 'text', text);
    body.dir = 'auto';
    row.append(meta, body);
    if (isLong(text)) {
        body.classList.add('folded');
        row.append(unfoldButton(body));
    }
    return row;
}

function incidentRow({ kind, lost, from, to }) {
    const [title, explanation] = {
        lost: () => [`${plural(lost, 'message')} lost here`, 'This device’s mailbox on the server was full.'],
        away: () => [`Away for ${plural(Math.max(1, Math.round((to - from) / 1000)), 'second')}`,
            `The connection broke at ${clock(from)} and was back at ${clock(to)}. The mailbox kept what came meanwhile.`],
        expired: () => ['Messages may be missing here', 'The device was away for longer than the server keeps its mailbox.'],
        restarted: () => ['Messages may be missing here', 'The server was started anew, or is another one: what the last one held is not here.'],
    }[kind]();
    const row = element('li', `incident ${kind}`);
    row.append(element('strong', '', title), element('span', '', explanation));
    return row;
}

// Events: "read", with the item as detail, when a message has been on the screen of somebody who is looking.
export class Feed extends EventTarget {
    #rows = new Map(); // the unread ones, and their items
    #onScreen = new Set();
    #observer;
    #atEnd = true;
    #scheduled = false;

    constructor(scroller, list) {
        super();
        this.scroller = scroller;
        this.list = list;
        this.#observer = new IntersectionObserver((entries) => this.#look(entries), { root: scroller, threshold: [0.1, 0.5, 1] });
        scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
        document.addEventListener('visibilitychange', () => this.#read());
        new ResizeObserver(() => this.#atEnd && this.scrollToEnd()).observe(scroller);
    }

    // Rows beyond the last "most" are removed, the oldest first.
    add(item, most) {
        const row = item.kind === 'message' ? messageRow(item) : incidentRow(item);
        if (item.kind === 'message' && !item.read) {
            row.classList.add('unread');
            this.#rows.set(row, item);
            this.#observer.observe(row);
        }
        this.list.append(row);
        while (this.list.children.length > most)
            this.#remove(this.list.firstElementChild);
        if (this.#atEnd)
            this.scrollToEnd();
    }

    get atEnd() {
        return this.#atEnd;
    }

    // Once for all that comes before the next frame.
    scrollToEnd() {
        this.#atEnd = true;
        if (this.#scheduled)
            return;
        this.#scheduled = true;
        requestAnimationFrame(() => {
            this.#scheduled = false;
            this.scroller.scrollTop = this.scroller.scrollHeight;
        });
    }

    #remove(row) {
        this.#forget(row);
        row.remove();
    }

    #forget(row) {
        this.#observer.unobserve(row);
        this.#rows.delete(row);
        this.#onScreen.delete(row);
    }

    // Half of a message must show; of one taller than the screen, as much as half of the screen takes.
    #look(entries) {
        for (const { target, intersectionRatio, intersectionRect, rootBounds } of entries) {
            if (intersectionRatio >= 0.5 || intersectionRect.height >= rootBounds.height / 2)
                this.#onScreen.add(target);
            else
                this.#onScreen.delete(target);
        }
        this.#read();
    }

    #read() {
        if (document.visibilityState !== 'visible')
            return;
        for (const row of this.#onScreen) {
            const item = this.#rows.get(row);
            this.#forget(row);
            row.classList.replace('unread', 'read');
            item.read = true;
            this.dispatchEvent(new CustomEvent('read', { detail: item }));
        }
    }

    #scrolled() {
        const { scrollTop, clientHeight, scrollHeight } = this.scroller;
        const atEnd = scrollHeight - scrollTop - clientHeight < 40;
        if (atEnd === this.#atEnd || this.#scheduled)
            return;
        this.#atEnd = atEnd;
        this.dispatchEvent(new Event('moved'));
    }
}
