variables {
  iam_user_name    = "ubuntu"
  my_project_id    = "my-project-1234"
  my_ssh_key       = "me.pub"
  static_folder    = "./tests/static"
  credentials_file = "credentials.json"
  zone             = "asia-northeast3-a"
}

run "a_key_in_a_file_becomes_metadata" {
  command = plan

  assert {
    condition     = startswith(output.metadata_key, "ubuntu:ssh-ed25519 AAAA") && !strcontains(output.metadata_key, "\n")
    error_message = output.metadata_key
  }

  assert {
    condition     = output.region == "asia-northeast3"
    error_message = output.region
  }
}

run "a_key_as_text_is_taken_as_it_is" {
  command = plan
  variables {
    my_ssh_key = "ssh-rsa AAAAB3Nza+/x= me"
  }

  assert {
    condition     = output.metadata_key == "ubuntu:ssh-rsa AAAAB3Nza+/x= me"
    error_message = output.metadata_key
  }
}

run "a_project_number_is_refused" {
  command = plan
  variables {
    my_project_id = "123456789012"
  }
  expect_failures = [var.my_project_id]
}

run "a_project_name_with_spaces_is_refused" {
  command = plan
  variables {
    my_project_id = "My Project"
  }
  expect_failures = [var.my_project_id]
}

run "a_project_id_that_ends_in_a_hyphen_is_refused" {
  command = plan
  variables {
    my_project_id = "my-project-"
  }
  expect_failures = [var.my_project_id]
}

run "a_mail_address_is_no_user" {
  command = plan
  variables {
    iam_user_name = "me@example.com"
  }
  expect_failures = [var.iam_user_name]
}

run "root_is_no_user" {
  command = plan
  variables {
    iam_user_name = "root"
  }
  expect_failures = [var.iam_user_name]
}

run "a_private_key_is_refused" {
  command = plan
  variables {
    my_ssh_key = "-----BEGIN OPENSSH PRIVATE KEY-----"
  }
  expect_failures = [var.my_ssh_key]
}

run "a_key_file_that_is_missing_is_named" {
  command = plan
  variables {
    my_ssh_key = "absent.pub"
  }
  expect_failures = [var.my_ssh_key]
}

run "a_key_file_that_holds_no_key_is_refused" {
  command = plan
  variables {
    my_ssh_key = "wrong.pub"
  }
  expect_failures = [output.public_key]
}

run "credentials_that_are_missing_are_named" {
  command = plan
  variables {
    credentials_file = "absent.json"
  }
  expect_failures = [var.credentials_file]
}

run "credentials_of_a_person_are_refused" {
  command = plan
  variables {
    credentials_file = "user.json"
  }
  expect_failures = [var.credentials_file]
}

run "credentials_that_are_no_json_are_refused" {
  command = plan
  variables {
    credentials_file = "broken.json"
  }
  expect_failures = [var.credentials_file]
}

run "credentials_of_another_project_are_refused" {
  command = plan
  variables {
    my_project_id = "other-project"
  }
  expect_failures = [var.credentials_file]
}

run "a_region_is_no_zone" {
  command = plan
  variables {
    zone = "asia-northeast3"
  }
  expect_failures = [var.zone]
}
