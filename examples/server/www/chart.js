// A line chart in SVG of the latest values of a few series. A null is a gap: nothing was known then.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 1000;
const HEIGHT = 100;

function svg(name, className, parent) {
    const made = document.createElementNS(SVG, name);
    made.setAttribute('class', className);
    parent.append(made);
    return made;
}

function label(where, parent) {
    const made = document.createElement('span');
    made.className = where;
    parent.append(made);
    return made;
}

// 1, 2, 4 or 6 times a power of ten, at least 4: a scale that ends on a round number and has a round middle.
export function roundUp(value) {
    if (value <= 4)
        return 4;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 4, 6, 10].find((step) => step * power >= value) * power;
}

export class Chart {
    #names;
    #length;
    #values; // for each series its values, the latest last
    #lines = [];
    #area;
    #head; // where the most important series is now
    #cursor;
    #figure;
    #axis; // labels of the scale
    #readout;
    #format;

    // names: of the series, the most important first. length: how many values are shown.
    constructor(host, { names, length, format }) {
        this.#names = names;
        this.#length = length;
        this.#format = format;
        this.#values = names.map(() => Array(length).fill(null));
        this.#draw(host);
    }

    // A value of each series; without any, a gap.
    add(latest = []) {
        this.#values.forEach((values, series) => {
            values.shift();
            values.push(latest[series] ?? null);
        });
        this.#show();
    }

    #draw(host) {
        const plot = document.createElement('div');
        plot.className = 'plot';
        this.#figure = svg('svg', '', plot);
        this.#figure.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
        this.#figure.setAttribute('preserveAspectRatio', 'none');
        this.#figure.setAttribute('role', 'img');
        for (const y of [0, HEIGHT / 2, HEIGHT])
            svg('path', 'grid', this.#figure).setAttribute('d', `M0 ${y}H${WIDTH}`);
        this.#area = svg('path', 'area', this.#figure);
        this.#lines = this.#names.map((name, series) => svg('path', `line line-${series}`, this.#figure));
        this.#head = svg('path', 'head', this.#figure);
        this.#cursor = svg('path', 'cursor', this.#figure);
        this.#axis = ['top', 'middle'].map((where) => label(where, plot));
        label('begin', plot).textContent = `${this.#length - 1} s ago`;
        label('end', plot).textContent = 'now';
        this.#readout = label('readout', plot);
        plot.addEventListener('pointermove', (event) => this.#point(plot, event.clientX));
        plot.addEventListener('pointerleave', () => this.#point(plot, null));
        host.append(plot);
    }

    #show() {
        const largest = Math.max(0, ...this.#values.flat());
        const top = roundUp(largest);
        this.#lines.forEach((line, series) => line.setAttribute('d', this.#path(this.#values[series], top)));
        this.#area.setAttribute('d', this.#path(this.#values[0], top, true));
        const latest = this.#values[0].at(-1);
        this.#head.setAttribute('d', latest === null ? '' : `M${WIDTH} ${HEIGHT * (1 - latest / top)}h0`);
        this.#axis[0].textContent = this.#format(top);
        this.#axis[1].textContent = this.#format(top / 2);
        this.#figure.setAttribute('aria-label', `${this.#describe(this.#length - 1)}; at most ${this.#format(largest)} in the last ${this.#length - 1} seconds`);
    }

    #x(index) {
        return (index * WIDTH) / (this.#length - 1);
    }

    // One line for each run of known values; closed down to the bottom for an area.
    #path(values, top, closed = false) {
        let path = '';
        let begun = null;
        const end = (index) => {
            if (closed && begun !== null)
                path += `V${HEIGHT}H${this.#x(begun)}Z`;
            begun = null;
        };
        values.forEach((value, index) => {
            if (value === null)
                return end(index);
            const point = `${this.#x(index).toFixed(1)} ${(HEIGHT * (1 - value / top)).toFixed(1)}`;
            path += begun === null ? `M${point}h0` : `L${point}`;
            begun ??= index;
        });
        end(values.length);
        return path;
    }

    #describe(index) {
        return this.#names.map((name, series) => {
            const value = this.#values[series][index];
            return `${name}: ${value === null ? 'unknown' : this.#format(value)}`;
        }).join(', ');
    }

    // Reads the values where the pointer is.
    #point(plot, clientX) {
        if (clientX === null) {
            this.#cursor.setAttribute('d', '');
            this.#readout.textContent = '';
            return;
        }
        const { left, width } = plot.getBoundingClientRect();
        const index = Math.max(0, Math.min(this.#length - 1, Math.round(((clientX - left) / width) * (this.#length - 1))));
        this.#cursor.setAttribute('d', `M${this.#x(index)} 0V${HEIGHT}`);
        this.#readout.textContent = `${this.#length - 1 - index} s ago · ${this.#describe(index)}`;
    }
}
