//! The test attribute of `muster-tasks`. Use it as `#[muster_tasks::test]`.

use proc_macro::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, LitBool, LitInt, LitStr, ReturnType, Type, parse_macro_input};

/// Runs an async test in a tokio runtime of its own and fails it when a task is left at its end.
///
/// A test that takes an argument gets the root group of the test. At the end no task may be live
/// in it, and the runtime may have no other task either; tasks that are just ending get half a
/// second. The failure names each leaked task and the line that spawned it.
///
/// Options: `flavor = "multi_thread"` (default `"current_thread"`), `worker_threads = 2`,
/// `start_paused = true`. A test may return a `Result`.
///
/// ```ignore
/// #[muster_tasks::test(start_paused = true)]
/// async fn adds(root: muster_tasks::Group) {
///     let sum = root.spawn("adder", async { 1 + 2 }).unwrap().join().await;
///     assert_eq!(sum.done(), Some(3));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut config = Options::default();
    let parser = syn::meta::parser(|meta| config.read(&meta));
    parse_macro_input!(options with parser);
    let test = parse_macro_input!(item as ItemFn);
    expand(&config, test)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

#[derive(Default)]
struct Options {
    multi_thread: bool,
    worker_threads: Option<usize>,
    start_paused: bool,
}

impl Options {
    fn read(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("flavor") {
            let flavor: LitStr = meta.value()?.parse()?;
            self.multi_thread = match flavor.value().as_str() {
                "multi_thread" => true,
                "current_thread" => false,
                _ => {
                    let expected = "expected \"current_thread\" or \"multi_thread\"";
                    return Err(Error::new(flavor.span(), expected));
                }
            };
        } else if meta.path.is_ident("worker_threads") {
            self.worker_threads = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else if meta.path.is_ident("start_paused") {
            self.start_paused = meta.value()?.parse::<LitBool>()?.value;
        } else {
            return Err(meta.error("expected `flavor`, `worker_threads` or `start_paused`"));
        }
        Ok(())
    }
}

fn expand(options: &Options, test: ItemFn) -> syn::Result<proc_macro2::TokenStream> {
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = test;
    if sig.asyncness.is_none() {
        return Err(Error::new(
            sig.fn_token.span(),
            "the test must be an `async fn`",
        ));
    }
    if options.worker_threads.is_some() && !options.multi_thread {
        let message = "`worker_threads` needs `flavor = \"multi_thread\"`";
        return Err(Error::new(sig.ident.span(), message));
    }
    if options.start_paused && options.multi_thread {
        let message = "`start_paused` needs the current-thread flavor";
        return Err(Error::new(sig.ident.span(), message));
    }
    let call = match sig.inputs.len() {
        0 => quote!(body()),
        1 => quote!(body(root)),
        _ => {
            return Err(Error::new(
                sig.inputs.span(),
                "the test takes at most the root group",
            ));
        }
    };
    let (name, inputs, output) = (&sig.ident, &sig.inputs, &sig.output);
    let text = name.to_string();
    let is_err = if returns_result(output) {
        quote!(|r| r.is_err())
    } else {
        quote!(|_| false)
    };
    let Options {
        multi_thread,
        start_paused,
        ..
    } = options;
    let worker_threads = match options.worker_threads {
        Some(threads) => quote!(::core::option::Option::Some(#threads)),
        None => quote!(::core::option::Option::None),
    };
    Ok(quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn body(#inputs) #output #block
            let config = ::muster_tasks::testing::TestConfig {
                name: #text,
                multi_thread: #multi_thread,
                worker_threads: #worker_threads,
                start_paused: #start_paused,
            };
            ::muster_tasks::testing::run(config, |root: ::muster_tasks::Group| #call, #is_err)
        }
    })
}

/// Whether the function returns something called `Result`.
fn returns_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Type(_, ty) => match &**ty {
            Type::Path(path) => path
                .path
                .segments
                .last()
                .is_some_and(|last| last.ident == "Result"),
            _ => false,
        },
        ReturnType::Default => false,
    }
}
