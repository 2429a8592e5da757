use muster_net::testing::{FakeHttp, Silent, answer};
use muster_tasks::Group;

use super::{HttpResponse, ROW};
use crate::testing::{build, gather, problems};

/// Asks and checks the one metric, but for the time that it took.
async fn check(group: &Group, options: &str, want: &str) {
    let group = group.group("peers");
    let server = FakeHttp::start(&group, |seen| match seen.path.as_str() {
        "/ok" => answer(200, "all is well"),
        "/moved" => {
            let mut answer = answer(302, "");
            answer
                .headers_mut()
                .insert("location", http::HeaderValue::from_static("/ok"));
            answer
        }
        _ => answer(503, "busy"),
    })
    .await;
    let options = options.replace("URL", server.url());
    let (lines, failures) = gather(build(&ROW, &options, HttpResponse::build).unwrap()).await;
    assert!(failures.is_empty(), "{failures:?}");
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    let line = line.replace(server.url(), "URL");
    let (head, fields) = line.split_once(' ').unwrap();
    let (time, others): (Vec<&str>, Vec<&str>) = fields
        .split(',')
        .partition(|field| field.starts_with("response_time="));
    assert_eq!(
        time.len(),
        usize::from(head.contains("status_code")),
        "{line}"
    );
    assert_eq!(format!("{head} {}", others.join(",")), want, "{options}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn tells_how_servers_answer(group: Group) {
    check(
        &group,
        "urls = ['URL/ok']",
        "http_response,method=GET,result=success,server=URL/ok,status_code=200 \
         http_response_code=200i,content_length=11i,result_type=\"success\",result_code=0i",
    )
    .await;
    check(
        &group,
        "urls = ['URL/ok']\nresponse_string_match = 'is (ill|well)'\nresponse_status_code = 201\n\
         response_body_field = 'body'\nhttp_header_tags = { Content-Length = 'size' }",
        "http_response,method=GET,result=response_status_code_mismatch,server=URL/ok,size=11,\
         status_code=200 http_response_code=200i,content_length=11i,response_string_match=1i,\
         response_status_code_match=0i,body=\"all is well\",\
         result_type=\"response_status_code_mismatch\",result_code=6i",
    )
    .await;
    check(
        &group,
        "urls = ['URL/busy']\nresponse_string_match = 'well'",
        "http_response,method=GET,result=response_string_mismatch,server=URL/busy,status_code=503 \
         http_response_code=503i,content_length=4i,response_string_match=0i,\
         result_type=\"response_string_mismatch\",result_code=1i",
    )
    .await;
    check(
        &group,
        "urls = ['URL/moved']\nresponse_body_max_size = '5B'",
        "http_response,method=GET,result=success,server=URL/moved,status_code=302 \
         http_response_code=302i,content_length=0i,result_type=\"success\",result_code=0i",
    )
    .await;
    check(
        &group,
        "urls = ['URL/moved']\nfollow_redirects = true\nresponse_body_max_size = '5B'",
        "http_response,method=GET,result=body_read_error,server=URL/moved,status_code=200 \
         http_response_code=200i,content_length=5i,result_type=\"body_read_error\",result_code=2i",
    )
    .await;
    check(
        &group,
        "urls = ['http://127.0.0.1:1']",
        "http_response,method=GET,result=connection_failed,server=http://127.0.0.1:1 \
         result_type=\"connection_failed\",result_code=3i",
    )
    .await;
}

#[muster_tasks::test]
async fn a_timeout_closes_the_connection(group: Group) {
    let mut silent = Silent::start(&group).await;
    let url = format!("http://{}", silent.address());
    let options = format!("urls = ['{url}']\nresponse_timeout = '50ms'");
    let want = format!(
        "http_response,method=GET,result=timeout,server={url} \
         result_type=\"timeout\",result_code=4i"
    );
    check(&group, &options, &want).await;
    assert!(silent.all_closed().await);
    assert!(group.stop().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, HttpResponse::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("urls = ['ftp://x']", "must begin with http");
    check("response_string_match = '('", "response_string_match");
    check("interface = 'eth0'", "not supported yet");
}
