// The view of the server: asks for /stats each second, and plots what it answers.

import { Chart } from './chart.js';

const EVERY = 1000;
const PATIENCE = 5000;
const SHOWN = 121; // the last two minutes and now

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const format = (value) => number.format(value);
const $ = (id) => document.getElementById(id);

function bytes(count) {
    const units = ['bytes', 'KiB', 'MiB', 'GiB'];
    let unit = 0;
    for (; count >= 1024 && unit < units.length - 1; unit++)
        count /= 1024;
    return `${format(count)} ${units[unit]}`;
}

function duration(seconds) {
    const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const first = parts.findIndex(([length]) => seconds >= length || length === 1);
    return parts.slice(first, first + 2).map(([length, unit], index) => {
        const whole = Math.floor(index === 0 ? seconds / length : (seconds % parts[first][0]) / length);
        return `${whole} ${unit}`;
    }).join(' ');
}

// Per second, between two answers of one run of the server.
function rates(stats, at, before) {
    if (before?.stats.boot !== stats.boot)
        return { delivered_rate: null, dropped_rate: null };
    const seconds = (at - before.at) / 1000;
    return {
        delivered_rate: (stats.delivered - before.stats.delivered) / seconds,
        dropped_rate: (stats.dropped - before.stats.dropped) / seconds,
    };
}

// What a server of a cluster tells of it, beside the other values. A server that is alone tells nothing.
function clusterValues({ connected, ...numbers } = {}) {
    const values = { cluster_state: connected ? 'connected' : 'not connected' };
    for (const [name, value] of Object.entries(numbers))
        values[`cluster_${name}`] = value;
    return values;
}

function cell(row, className, text) {
    const made = row.insertCell();
    made.className = className;
    made.textContent = text;
    return made;
}

// A bar as long as the queue is deep, compared with the deepest there was among those shown.
function depthCell(row, queued, highWater, deepest) {
    const made = cell(row, 'depth', '');
    const meter = document.createElement('div');
    meter.className = 'meter';
    for (const [className, value] of [['high-water', highWater], ['now', queued]]) {
        const bar = document.createElement('span');
        bar.className = className;
        bar.style.width = `${deepest > 0 ? (100 * value) / deepest : 0}%`;
        meter.append(bar);
    }
    made.append(meter);
}

function clientRow(client, deepest) {
    const row = document.createElement('tr');
    const name = document.createElement('th');
    name.scope = 'row';
    for (const [className, text] of [['device', client.device], ['user', client.user]]) {
        const part = document.createElement('bdi');
        part.className = className;
        part.textContent = text;
        name.append(part);
    }
    row.append(name);
    cell(row, client.connected ? 'connected' : 'away', client.connected ? 'connected' : 'away');
    cell(row, 'right', format(client.queued));
    depthCell(row, client.queued, client.high_water, deepest);
    cell(row, 'right wide', bytes(client.queued_bytes));
    cell(row, 'right wide', format(client.high_water));
    cell(row, client.dropped > 0 ? 'right dropped' : 'right', format(client.dropped));
    return row;
}

class Admin {
    constructor() {
        this.charts = {
            sessions: this.chart('sessions', ['sessions']),
            clients: this.chart('clients', ['clients', 'connected']),
            queued: this.chart('queued', ['queued']),
            rates: this.chart('rates', ['delivered', 'dropped']),
        };
        this.before = null;
        this.paused = false;
        $('pause').addEventListener('click', () => this.pause());
    }

    chart(id, names) {
        return new Chart($(id), { names, length: SHOWN, format });
    }

    async ask() {
        const began = performance.now();
        const stats = await this.stats();
        if (stats)
            this.answered(stats, performance.now());
        else
            this.unanswered();
        setTimeout(() => this.ask(), Math.max(0, EVERY - (performance.now() - began)));
    }

    async stats() {
        try {
            const response = await fetch('/stats', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
            return response.ok ? await response.json() : null;
        } catch {
            return null;
        }
    }

    answered(stats, at) {
        const shown = { ...stats, ...rates(stats, at, this.before), ...clusterValues(stats.cluster) };
        this.before = { stats, at };
        this.enter('live', 'Live');
        if (this.paused)
            return;
        this.charts.sessions.add([shown.sessions]);
        this.charts.clients.add([shown.clients, shown.connected]);
        this.charts.queued.add([shown.queued]);
        this.charts.rates.add([shown.delivered_rate, shown.dropped_rate]);
        this.showValues(shown);
        this.showSlowest(shown.slowest);
    }

    unanswered() {
        this.before = null;
        this.enter('waiting', 'No answer');
        if (!this.paused)
            for (const chart of Object.values(this.charts))
                chart.add();
    }

    enter(state, label) {
        if (this.paused)
            [state, label] = ['paused', 'Paused'];
        if ($('state').textContent === label)
            return;
        $('state').textContent = label;
        $('state').dataset.state = state;
        $('announcer').textContent = label;
    }

    showValues(shown) {
        for (const place of document.querySelectorAll('[data-key]')) {
            const { key } = place.dataset;
            const value = shown[key];
            place.textContent = typeof value !== 'number' ? value ?? '–' : key.endsWith('_bytes') ? bytes(value) : format(value);
        }
        $('cluster').hidden = !shown.cluster;
        $('uptime').textContent = `up for ${duration(shown.uptime)}`;
    }

    showSlowest(clients) {
        const deepest = Math.max(0, ...clients.map(({ high_water: highWater }) => highWater));
        $('clients-rows').replaceChildren(...clients.map((client) => clientRow(client, deepest)));
        $('none').hidden = clients.length > 0;
        document.querySelector('.slowest table').hidden = clients.length === 0;
    }

    pause() {
        this.paused = !this.paused;
        $('pause').setAttribute('aria-pressed', String(this.paused));
        this.enter('connecting', 'Connecting');
    }
}

new Admin().ask();
