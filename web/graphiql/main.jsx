// The page at /graphql: GraphiQL, and a field for the bearer key above it.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/graphiql.css";
import { useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import "./page.css";

// Kept for this tab only: a key is a secret.
const STORED_KEY = "waybill:key";
// A key that is being typed is not tried letter by letter.
const SETTLES_AFTER_MS = 400;

const WELCOME = `# Orders, fulfillments, stock and sagas.
#
# Paste a key into the field above: the embedded
# default keeps its keys in .waybill/dev-keys.json.
# "support" sees all shops, "shop" its own.
#
# Ctrl-Enter runs, Ctrl-Space completes,
# the book on the left is the schema.

query RecentOrders {
  orders(first: 5) {
    totalCount
    nodes {
      id
      ref
      status
      statusReason
      total
      currency
      timeline {
        nodes {
          at
          summary
          actor
        }
      }
    }
  }
}
`;

function Page() {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORED_KEY) ?? "");
  const [bearer, setBearer] = useState(key.trim());
  useEffect(() => {
    const timer = setTimeout(() => setBearer(key.trim()), SETTLES_AFTER_MS);
    return () => clearTimeout(timer);
  }, [key]);
  const fetcher = useMemo(
    () =>
      createGraphiQLFetcher({
        url: window.location.pathname,
        headers: bearer ? { Authorization: `Bearer ${bearer}` } : {},
      }),
    [bearer],
  );
  const change = (event) => {
    sessionStorage.setItem(STORED_KEY, event.target.value);
    setKey(event.target.value);
  };
  return (
    <>
      <header className="waybill">
        <strong>Waybill</strong>
        <label htmlFor="waybill-key">Key</label>
        <input
          id="waybill-key"
          type="password"
          autoComplete="off"
          spellCheck={false}
          placeholder="paste a key, for example the one named support in .waybill/dev-keys.json"
          value={key}
          onChange={change}
        />
        <span>{bearer ? "sent as Authorization: Bearer …" : "without a key every query is answered 401"}</span>
      </header>
      <main>
        {/* The key names the instance: with another key the schema is read again. */}
        <GraphiQL key={bearer} fetcher={fetcher} defaultQuery={WELCOME} defaultEditorToolsVisibility={false} />
      </main>
    </>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
