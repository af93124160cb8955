// What one device has received, kept over a reload in the tab's session storage: a bounded list of items, and the
// messages it has seen, to tell those that come again.
//
// Items: { kind: 'message', id, boot, time, text, read }, { kind: 'lost', lost }, and what befell the connection:
// { kind: 'away', from, to }, { kind: 'expired' }, { kind: 'restarted' }.

export const MOST_ITEMS = 300;
const MOST_CHARACTERS = 1_000_000; // kept over a reload; browsers allow about five times that
const MOST_SEEN = 1024; // far more than a server leaves unacknowledged

const countMessages = (items) => items.filter(({ kind }) => kind === 'message').length;

export class Store {
    items = [];
    figures = { received: 0, lost: 0, repeats: 0, reconnects: 0, older: 0 };
    boot = null;

    #key;
    #seen = new Set();

    constructor(name) {
        this.#key = name;
        this.#load();
    }

    get unread() {
        return this.items.reduce((count, item) => count + (item.kind === 'message' && !item.read), 0);
    }

    // True where it is new, false where it came before.
    see({ boot, id }) {
        const name = `${boot}:${id}`;
        if (this.#seen.has(name))
            return false;
        this.#seen.add(name);
        if (this.#seen.size > MOST_SEEN)
            this.#seen.delete(this.#seen.values().next().value);
        return true;
    }

    // Returns how many of the oldest had to go for it.
    add(item) {
        this.items.push(item);
        const over = Math.max(0, this.items.length - MOST_ITEMS);
        this.figures.older += countMessages(this.items.splice(0, over));
        return over;
    }

    save() {
        let characters = 0;
        let first = this.items.length;
        while (first > 0 && (characters += this.items[first - 1].text?.length ?? 0) <= MOST_CHARACTERS)
            first--;
        const older = this.figures.older + countMessages(this.items.slice(0, first));
        const kept = {
            items: this.items.slice(first),
            figures: { ...this.figures, older },
            boot: this.boot,
            seen: [...this.#seen],
        };
        try {
            sessionStorage.setItem(this.#key, JSON.stringify(kept));
        } catch (error) {
            console.warn('A reload will lose the messages shown:', error.name);
        }
    }

    #load() {
        const kept = sessionStorage.getItem(this.#key);
        if (!kept)
            return;
        const { seen, ...rest } = JSON.parse(kept);
        Object.assign(this, rest);
        this.#seen = new Set(seen);
    }
}
