// What the scripts share: each makes all its calls in one process, and prints what they brought.

export const [url] = process.argv.slice(2);

/** The tools that the caller's code has, and the calls of them that were made. */
export class Tools {
  constructor() {
    this.ran = [];
  }

  buscar_cidade = ({ nome }) => this.#ran("buscar_cidade", { nome }, `BR-${nome}`);
  buscar_tempo = ({ id }) => this.#ran("buscar_tempo", { id }, `25°C em ${id}`);
  listar_cidades = (given) => this.#ran("listar_cidades", given, "São Paulo, Brasília");

  #ran(name, input, result) {
    this.ran.push([name, input]);
    return result;
  }
}

/** Makes every case under an id of its own, and prints the results by their names as one line of JSON. */
export async function run(client, cases) {
  const results = {};
  for (const [name, make] of Object.entries(cases)) {
    try {
      results[name] = await make(`${client}-${name}`);
    } catch (error) {
      results[name] = { crashed: error.stack };
    }
  }
  console.log(JSON.stringify(results));
}
